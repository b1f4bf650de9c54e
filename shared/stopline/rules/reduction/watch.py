"""When an emergency reduction runs by itself: a breach or a breaker for which the account has set one, read twice.

A limit must be in breach in two readings, `CONFIRM_AFTER` apart and the second of newer prices, as the closing of positions
is nothing that one bad price may cause. A breaker that would close everything has its own second reading; with a reduction
set it reduces instead. While the breach or the trip stands it is asked again each `AGAIN`: what could not be valued, or what
has grown, is caught up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.account import Account
from stopline.model.closing import REDUCTIONS_TOPIC, ReductionRequest
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.ids import digest
from stopline.model.messages import Effect
from stopline.model.settings.limit_override import Action
from stopline.rules.alerting.text_parts import amount
from stopline.rules.limits.limit import Level, Reading, Scope
from stopline.rules.limits.registry import LIMITS, in_force
from stopline.rules.trading.breakers import BREAKERS, Move, Tripped
from stopline.rules.trading.second_reading import CONFIRM_AFTER, PriceTimes

AGAIN = timedelta(seconds=60)
STOPS = (Action.REDUCE_ONLY, Action.HALT)


@dataclass(frozen=True, slots=True)
class Reducing:
    """A breach or trip that has a reduction: since when it stands, and when the reduction was last asked for.

    `prices_at`: the newest price of a limit's first reading in breach; None: not known, or it had none.
    """

    since: datetime
    asked_at: datetime | None = None
    prices_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReductionNews:
    """`standing`: by limit or breaker. `moves`: those of the breakers, without the kills that a reduction replaces."""

    standing: Mapping[str, Reducing]
    moves: Sequence[Move]
    effects: list[Effect] = field(default_factory=list)


def watch_reductions(
    account: Account,
    read: Sequence[Reading],
    tripped: Mapping[str, Tripped],
    moves: Sequence[Move],
    before: Mapping[str, Reducing],
    equity: Decimal | None,
    cause: str,
    now: datetime,
    prices: Callable[[], PriceTimes],
) -> ReductionNews:
    """Return which reductions are due after a reading. Without a known equity only one to 0 is: the rest waits."""
    if not account.reductions:
        return ReductionNews({}, moves)
    seen = prices()
    bad = _breached(account, read, before, now, seen.newest) | _confirmed(account, tripped, before)
    news = ReductionNews(bad, [_softened(move, account) for move in moves if not _is_replaced(move, account)])
    reasons = {r.limit.name: _why(r) for r in read} | {m.breaker.name: m.reason for m in moves}
    standing = dict(bad)
    for name, one in bad.items():
        target = _target(account.reductions[name].to, equity)
        if (
            not _is_confirmed(name, one, now, seen)
            or target is None
            or (one.asked_at is not None and now - one.asked_at < AGAIN)
        ):
            continue
        request = ReductionRequest(
            request_id=digest("reduction", account.account, name, cause),
            account=account.account,
            name=name,
            by=account.reductions[name].by,
            target=target,
            reason=reasons.get(name, f"{name} stands since {one.since:%H:%M} UTC")[:500],
            cause=cause,
        )
        body = request.model_dump(mode="json")
        news.effects.append(Effect(request.request_id, REDUCTIONS_TOPIC, account.account, body))
        standing[name] = replace(one, asked_at=now)
    return replace(news, standing=standing)


def _is_confirmed(name: str, one: Reducing, now: datetime, seen: PriceTimes) -> bool:
    if name in BREAKERS or one.asked_at is not None:
        return True
    return now - one.since >= CONFIRM_AFTER and seen.are_newer(one.prices_at)


def _breached(
    account: Account,
    read: Sequence[Reading],
    before: Mapping[str, Reducing],
    now: datetime,
    newest: datetime | None,
) -> dict[str, Reducing]:
    """Return the limits in breach that have a reduction. An UNKNOWN reading neither confirms nor clears: it begins anew,
    and what was asked for goes on.
    """
    found = {}
    for reading in read:
        name = reading.limit.name
        known = before.get(name)
        if name not in account.reductions or name in BREAKERS:
            continue
        if reading.level is Level.BREACH:
            known = known or Reducing(now)
            found[name] = replace(known, prices_at=known.prices_at or newest)
        elif reading.level is Level.UNKNOWN and known is not None and known.asked_at is not None:
            found[name] = known
    return found


def _confirmed(
    account: Account, tripped: Mapping[str, Tripped], before: Mapping[str, Reducing]
) -> dict[str, Reducing]:
    return {
        name: before.get(name) or Reducing(one.since)
        for name, one in tripped.items()
        if name in account.reductions and one.confirmed and not one.good and BREAKERS[name].flatten
    }


def _is_replaced(move: Move, account: Account) -> bool:
    return move.action == "kill" and move.breaker.name in account.reductions


def _softened(move: Move, account: Account) -> Move:
    """Return a move of a breaker that reduces instead of closing everything, so that nobody is told otherwise."""
    if move.breaker.name not in account.reductions:
        return move
    return replace(move, breaker=replace(move.breaker, flatten=False))


def _target(percent: Decimal, equity: Decimal | None) -> Decimal | None:
    if not percent:
        return ZERO
    if equity is None:
        return None
    return divide(EXACT.multiply(max(equity, ZERO), percent), Decimal(100), 2)


def _why(reading: Reading) -> str:
    return (
        f"{reading.limit.what} {amount(reading.current, reading.unit)}, "
        f"limit {amount(reading.threshold, reading.unit)}"
    )


def check_reductions(account: Account) -> list[str]:
    """Return what is wrong with an account's reductions, one line each."""
    actions = {limit.name: (limit, chosen or limit.action) for limit, _, chosen in in_force(account)}
    faults = []
    for name in account.reductions:
        breaker, limit = BREAKERS.get(name), LIMITS.get(name)
        if limit is None and (breaker is None or not breaker.flatten):
            flattening = ", ".join(b.name for b in BREAKERS.values() if b.flatten)
            faults.append(
                f"reductions.{name}: there is no such limit, and no breaker of that name that closes positions;"
                f" such breakers are {flattening}"
            )
        elif limit is not None and limit.scope is not Scope.ACCOUNT:
            faults.append(f"reductions.{name}: only a limit on the whole account can reduce it")
        elif limit is not None and name not in actions:
            faults.append(f"reductions.{name}: the limit is off")
        elif limit is not None and actions[name][1] not in STOPS:
            faults.append(
                f"reductions.{name}: set limits.{name}.action to reduce_only or halt too,"
                " or new risk is let in while it is reduced"
            )
    return faults
