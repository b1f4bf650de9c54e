"""What deposits and withdrawals do to what losses are measured from: no percentage moves by one.

Who has lost 2 % has lost 2 % after he pays in or takes out as well, and what is lost from then on is a percentage of the
money that is there: returns are chained from flow to flow, as in a time-weighted return. Money amounts never change.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from stopline.model.decimals import EXACT, divide
from stopline.rules.limits.track import DayStart, Peak, Sample, Track
from stopline.rules.orders.open_risk import Rate, add, converted


def moved(value: Decimal, total: Decimal, before: Decimal, after: Decimal) -> Decimal:
    """Return the P&L that an earlier one counts for once flows have come, so that (value - total) is the same share of the
    equity as before them: rounded to 12 decimals. `total` is the P&L now, `before` and `after` the money paid in. Where
    nothing was left to lose, or nothing is now, the P&L itself.
    """
    held, holds, was = EXACT.add(before, total), EXACT.add(after, total), EXACT.add(before, value)
    if held <= 0 or holds <= 0 or was <= 0:
        return value
    return EXACT.subtract(divide(EXACT.multiply(holds, was), held), after)


def flowing(paid_in: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return deposits less withdrawals by currency as a track remembers them."""
    return {currency: amount for currency, amount in sorted(paid_in.items()) if amount}


def follow_flows(
    track: Track,
    start: DayStart | None,
    paid_in: Mapping[str, Decimal],
    capital: Decimal,
    rate: Rate,
    total: Decimal | None,
    strategies: Mapping[str, Decimal | None],
    with_own: Mapping[str, Decimal],
) -> tuple[Track, DayStart | None]:
    """Return what is remembered, and the start of the day, after the flows that came since the last complete valuation.

    `paid_in`: deposits less withdrawals since the account began, by currency. `strategies`: the P&L of each;
    `with_own`: those with a capital of their own, which no flow changes. While the P&L or a rate is UNKNOWN, nothing is.
    A withdrawal that leaves nothing is taken notice of with the next deposit: till then percentages are as they were.
    """
    flows = flowing(paid_in)
    if total is None or flows == track.flows:
        return track, start
    noted = replace(track, flows=flows)
    before, after = (_money(each, capital, rate) for each in (track.flows, flows))
    if track.flows is None:
        return noted, start
    if before is None or after is None:
        return track, start
    was, is_ = before, after
    held, holds = EXACT.add(was, total), EXACT.add(is_, total)
    if holds <= 0 < held:
        return track, start

    def of(value: Decimal) -> Decimal:
        return moved(value, total, was, is_)

    def begun(one: DayStart | None) -> DayStart | None:
        return replace(one, moved=EXACT.subtract(of(one.basis), one.total)) if one else None

    def sample(one: Sample) -> Sample:
        flown = EXACT.add(one.flown, EXACT.subtract(is_, was))
        return one._replace(moved=EXACT.subtract(of(one.basis), one.total), flown=flown)

    def own(name: str, one: Peak) -> Peak:
        """Its distance to the peak becomes the same share of the account's equity: it has no money of its own."""
        now = strategies.get(name)
        if name in with_own or now is None or held <= 0 or holds <= 0:
            return one

        def of_it(value: Decimal) -> Decimal:
            return EXACT.add(now, divide(EXACT.multiply(EXACT.subtract(value, now), holds), held))

        return Peak(of_it(one.top), tuple(map(of_it, one.seen)))

    noted = replace(
        noted,
        week=begun(track.week),
        month=begun(track.month),
        peak=Peak(of(track.peak.top), tuple(map(of, track.peak.seen))),
        day_peak=of(track.day_peak),
        strategies={name: own(name, one) for name, one in track.strategies.items()},
        samples=tuple(map(sample, track.samples)),
    )
    return noted, begun(start)


def _money(flows: Mapping[str, Decimal] | None, capital: Decimal, rate: Rate) -> Decimal | None:
    return add([capital, *(converted(amount, currency, rate) for currency, amount in (flows or {}).items())])
