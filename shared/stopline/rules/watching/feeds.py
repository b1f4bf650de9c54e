"""Which feeds are silent: by market and source, of the prices that accounts hold positions by or wait for.

A market is the calendar by which an instrument trades, so that live crypto hides no dead equities. A feed is needed for the
symbols of which it has sent the newest price; while another one sends them, nothing hangs on it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stopline.model.messages import Severity
from stopline.rules.alerting.text_parts import cut
from stopline.rules.watching.found import Found

_BY = " from "
_SHOWN = 3
_ACTION = "Limits and exits are blind."


@dataclass(frozen=True, slots=True)
class Need:
    """A price that an account needs, of `symbol` or of an option on it. `feed`: which source sent the newest
    one, `seen` then; empty and None: none ever has. `awaited`: its market is open for `longest`, the age that is silence.
    `held_since`: when the position was opened; None: the account only waits for that price.
    """

    account: str
    market: str
    symbol: str
    feed: str
    seen: datetime | None
    longest: timedelta
    awaited: bool
    held_since: datetime | None = None

    def is_held_long(self, now: datetime) -> bool:
        return self.held_since is not None and now - self.held_since > self.longest


@dataclass(frozen=True, slots=True)
class Feed:
    """What is needed of one market from one source, or from any that would send it. `name`: `XNYS from polygon`, `XNYS`."""

    name: str
    needs: tuple[Need, ...]

    @property
    def held(self) -> bool:
        return any(need.held_since for need in self.needs)

    @property
    def longest(self) -> timedelta:
        return min(need.longest for need in self.counting())

    def counting(self) -> list[Need]:
        """Return what says whether it is silent: what is held, where anything is. What people wait for is known by the
        account's calendar only, and hides no dead position.
        """
        return [need for need in self.needs if need.held_since or not self.held]

    def is_silent(self, now: datetime, told: bool) -> bool:
        """Tell whether no price came for too long in open hours, of what is held for so long: a feed may begin to send when
        it is asked. Once `told`, it goes on over a closed market: a price ends it.
        """
        needs = self.counting()
        if not told and not any(need.awaited for need in needs):
            return False
        if not told and self.held and not any(need.is_held_long(now) for need in needs):
            return False
        seen = [need.seen for need in needs if need.seen]
        return now - max(seen) > self.longest if seen else told or self.held


def feeds(needs: Iterable[Need], told: Sequence[Found]) -> dict[str, Feed]:
    """Return the feeds that are needed, by name. What has no price while others of its market do is no silent feed: its
    account is told (`stale_prices`). Where the prices of a silent one are too old to be kept, it is still that one.
    """
    sent, unsent = defaultdict[str, list[Need]](list), defaultdict[str, list[Need]](list)
    for need in needs:
        if need.feed:
            sent[f"{need.market}{_BY}{need.feed}"].append(need)
        else:
            unsent[need.market].append(need)
    markets = {_market(name) for name in sent}
    known = [part for found in told for part in found.parts]
    for market, some in unsent.items():
        if market not in markets:
            sent[next((part for part in known if _market(part) == market), market)] += some
    return {name: Feed(name, tuple(some)) for name, some in sorted(sent.items())}


def feed_silences(
    needed: Mapping[str, Feed], told: Sequence[Found], now: datetime, unsure: bool = False
) -> list[Found]:
    """Return what is silent: of what was `told` the parts that still are, and as one what falls silent now. `unsure`: not
    all accounts could be looked at, so what nobody seems to need may be needed.
    """
    known = {part for found in told for part in found.parts}
    silent = {name: feed for name, feed in needed.items() if feed.is_silent(now, name in known)}
    found = [_still(one, silent, known - needed.keys() if unsure else ()) for one in told]
    new = [feed for name, feed in silent.items() if name not in known]
    if new:
        found.append(_found(new, {one.object for one in told}))
    return [one for one in found if one is not None]


def why_moot(found: Found, needed: Mapping[str, Feed]) -> str:
    """Say why a silence is over without a price from where it was; empty: prices come again."""
    if not found.parts or any(part in needed for part in found.parts):
        return ""
    markets = {_market(name) for name in needed}
    if not any(_market(part) in markets for part in found.parts):
        return "Nothing is held there any more"
    return "Another feed sends these prices now" if any(_BY in part for part in found.parts) else ""


def _still(told: Found, silent: Mapping[str, Feed], kept: Collection[str]) -> Found | None:
    """Return what is left of what was told: the same where all of it is, in other words where some is back, or worse."""
    parts = tuple(part for part in told.parts if part in silent or part in kept)
    held = any(silent[part].held for part in parts if part in silent)
    worse = held and told.severity is not Severity.CRITICAL
    if not parts or (parts == told.parts and not worse):
        return told if parts else None
    left = [silent[part] for part in parts if part in silent]
    over = [part for part in told.parts if part not in parts]
    summary = f"Still {_what(left, parts)}{_of(left, whose=False)}" if left else told.summary
    return replace(
        told,
        summary=f"{summary}; over: {_named(over)}" if over else summary,
        parts=parts,
        severity=Severity.CRITICAL if held else told.severity,
    )


def _found(some: Sequence[Feed], taken: Collection[str]) -> Found:
    """Return what falls silent together, by their names; what was told by the same names and stands is of fewer by now."""
    parts, held = tuple(feed.name for feed in some), any(feed.held for feed in some)
    name = cut(_named(parts), 200)
    while name in taken:
        name = f"{name} again"
    summary = _what(some, parts) + _of(some)
    return Found(
        kind="feed_silent",
        account=None,
        summary=summary[0].upper() + summary[1:],
        action=_ACTION if held else "Nothing is held by them.",
        object=name,
        parts=parts,
        severity=Severity.CRITICAL if held else Severity.WARNING,
    )


def _what(some: Sequence[Feed], parts: Sequence[str]) -> str:
    if all(need.seen is None for feed in some for need in feed.counting()):
        return f"no price of {_named(parts)} ever came"
    minutes = int(min(feed.longest for feed in some).total_seconds() // 60)
    return f"no price for {minutes} min of {_named(parts)}"


def _of(some: Sequence[Feed], whose: bool = True) -> str:
    """Say what is held there, and by whom."""
    needs = [need for feed in some for need in feed.counting()]
    held = "held" if any(feed.held for feed in some) else "awaited"
    by = f" by {_listed(need.account for need in needs)}" if whose else ""
    return f": {_listed(need.symbol for need in needs)} {held}{by}"


def _named(parts: Iterable[str]) -> str:
    """Name feeds market by market: `24/7 from kraken, XNYS from cboe and polygon`."""
    by = defaultdict[str, list[str]](list)
    for part in parts:
        market, _, feed = part.partition(_BY)
        by[market] += [feed] if feed else []
    return ", ".join(f"{market}{_BY}{' and '.join(some)}" if some else market for market, some in by.items())


def _listed(names: Iterable[str]) -> str:
    once = sorted(set(names))
    more = f" and {len(once) - _SHOWN} more" if len(once) > _SHOWN else ""
    return ", ".join(once[:_SHOWN]) + more


def _market(name: str) -> str:
    return name.partition(_BY)[0]
