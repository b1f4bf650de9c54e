"""Differences between books and brokers that stand: since when, how sure, and when they are over.

A first pass that finds a difference makes a break SUSPECTED; a second one, by another statement of every broker or
`quiet_s` later, CONFIRMED. A confirmed break is cleared when a fill has changed our side and it agrees now, or when two
statements in a row agree, of every broker that shows the instrument or did: one good answer of a broker that just gave
a bad one proves nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from stopline.model.account import Account
from stopline.model.decimals import EXACT
from stopline.rules.watching.finding import BreakKind, Finding, words

EVERY = "*"  # in what is blocked: every instrument


class Stage(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Break:
    """A difference that stands. `evidence` names the statements of the pass that found it first, `agreed_by` those
    of the first pass that found none since. `told`: whether people hear of it by itself, or as one of a number.
    """

    finding: Finding
    stage: Stage
    since: datetime
    evidence: str
    agreed_by: str = ""
    told: bool = True

    @property
    def blocks(self) -> bool:
        """Whether nothing may be added to the instrument: from the first look on, as nobody knows what is held. An order
        that does not add up may be one that its broker counts in a way of its own: it blocks when it is confirmed.
        """
        if self.finding.kind is BreakKind.ORDER:
            return self.stage is Stage.CONFIRMED
        return self.finding.kind not in (BreakKind.COST, BreakKind.ORDER_START)


class Turn(StrEnum):
    """What became of a break in one pass."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    CHANGED = "changed"
    CLEARED = "cleared"
    DROPPED = "dropped"  # it was suspected only


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the break as it stands now, or as it stood when it ended."""

    turn: Turn
    item: Break


def take_pass(
    breaks: Mapping[str, Break],
    findings: Sequence[Finding],
    evidence: Mapping[str, str],
    quiet: timedelta,
    now: datetime,
) -> tuple[dict[str, Break], list[Step]]:
    """Return the breaks that stand after one pass, by symbol, and what changed. `evidence` names each broker's statement."""
    standing = dict(breaks)
    steps: list[Step] = []
    for finding in findings:
        if finding.waits:
            continue
        known = standing.pop(finding.symbol, None)
        item, turn = (
            _agreed(known, finding, evidence)
            if finding.kind is None
            else _broken(known, finding, evidence, quiet, now)
        )
        if item is not None and turn not in (Turn.CLEARED, Turn.DROPPED):
            standing[finding.symbol] = item
        if item is not None and turn is not None:
            steps.append(Step(turn, item))
    return dict(sorted(standing.items())), steps


def evidence_text(evidence: Mapping[str, str]) -> str:
    """Return the names of statements as one text."""
    return " ".join(f"{broker}/{name}" for broker, name in sorted(evidence.items()))


def _renewed(text: str, evidence: Mapping[str, str], brokers: Iterable[str]) -> bool:
    """Tell whether each of some brokers has sent another statement than a text of before names; of none, each of all."""
    asked = set(brokers) & set(evidence) or set(evidence)
    named = text.split(" ")
    return not any(evidence_text({broker: evidence[broker]}) in named for broker in asked)


def _agreed(
    known: Break | None, finding: Finding, evidence: Mapping[str, str]
) -> tuple[Break | None, Turn | None]:
    if known is None:
        return None, None
    if known.stage is Stage.SUSPECTED:
        return replace(known, finding=replace(finding, kind=known.finding.kind)), Turn.DROPPED
    explained = finding.ours != known.finding.ours  # a fill or an adjustment: two witnesses now say the same
    # who answers differently now showed the instrument before, or shows it now
    concerned = (*known.finding.brokers, *finding.brokers)
    if explained or (known.agreed_by and _renewed(known.agreed_by, evidence, concerned)):
        return replace(known, finding=replace(finding, kind=known.finding.kind)), Turn.CLEARED
    return replace(known, agreed_by=known.agreed_by or evidence_text(evidence)), None


def _broken(
    known: Break | None, finding: Finding, evidence: Mapping[str, str], quiet: timedelta, now: datetime
) -> tuple[Break, Turn | None]:
    if known is None:
        return Break(finding, Stage.SUSPECTED, now, evidence_text(evidence)), Turn.SUSPECTED
    if known.stage is Stage.SUSPECTED:
        # any broker may be the one that does not show what it has
        if not _renewed(known.evidence, evidence, evidence) and now - known.since < quiet:
            return replace(known, finding=finding), None
        return replace(known, finding=finding, stage=Stage.CONFIRMED), Turn.CONFIRMED
    changed = replace(known, finding=finding, agreed_by="")
    return changed, None if is_same(known.finding, finding) else Turn.CHANGED


def is_same(one: Finding, other: Finding) -> bool:
    """Tell whether two findings are the same difference: a fill that both sides have changes nothing."""
    if one.kind is not other.kind:
        return False
    return one.kind is BreakKind.COST or _difference(one) == _difference(other)


def _difference(finding: Finding) -> Decimal | None:
    if finding.ours is None or finding.theirs is None:
        return None
    return EXACT.subtract(finding.theirs, finding.ours)


def blocked(breaks: Mapping[str, Break]) -> dict[str, str]:
    """Return the symbols to which nothing may be added, each with why in words."""
    return {item.finding.symbol: words(item.finding) for item in breaks.values() if item.blocks}


# --- overdue ---------------------------------------------------------------------------------------------


def overdue(account: Account, read_at: Mapping[str, datetime], now: datetime) -> list[str] | None:
    """Return the brokers whose statement is due: none that is complete came for too long while the market is open.
    None while nothing can be due.

    `read_at` is the moment of each broker's last complete statement.
    """
    every, sessions = account.reconcile.expect_every_min, account.sessions
    if every is None:
        return []
    since = now - timedelta(minutes=every)
    if not sessions.is_open(now) or not (sessions.every_day or _opened(account, now) <= since):
        return None
    return [broker for broker in account.brokers if broker not in read_at or read_at[broker] < since]


def _opened(account: Account, now: datetime) -> datetime:
    sessions = account.sessions
    return sessions.open_of(sessions.session_of(now))
