"""Unusual activity: six detectors over an account's recent orders, executions and valuations, each a pure function.

A detector returns what it found, or None: nothing unusual, switched off, or not enough known to say (no mark, too few
fills to know what is usual). It never guesses.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.settings.activity import ActivitySettings, Detector

MINUTE = timedelta(minutes=1)
USUAL_FROM = 5  # fills before anything is known of what is usual
USUAL_OF = 20  # newest fills that make it
HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill as the detectors see it. `order`: what it is of; where that is not known, its key. `group`: what sizes are
    compared within (kind and underlying). `mark`: the price that held about when it was executed, None where none is known.
    """

    key: str
    order: str
    at: datetime
    symbol: str
    group: str
    is_option: bool
    side: str
    quantity: Decimal
    price: Decimal
    mark: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something unusual, in words for people, and the numbers behind it."""

    detector: Detector
    current: Decimal
    limit: Decimal
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class OrderSpan:
    """How many orders one adapter sent between two of its leases."""

    start: datetime
    end: datetime
    orders: int


Usual = Mapping[str, Sequence[tuple[str, Decimal]]]
"""By group the newest fills, oldest first, as (key, quantity)."""


def findings(
    executions: Sequence[Execution],
    usual: Usual,
    samples: Sequence[tuple[datetime, Decimal]],
    capital: Decimal,
    settings: ActivitySettings,
    orders: Sequence[OrderSpan] = (),
) -> list[Finding]:
    """Run all detectors. `executions` by time; `samples` are (moment, P&L since the account began), oldest first. `orders`:
    of the adapters that tell; empty: nothing is known of any.
    """
    found = (
        order_rate(orders, settings.orders_per_minute),
        fill_rate(executions, settings.fills_per_minute),
        fill_size(executions, usual, settings.size_times),
        price_away(executions, settings.price_away_pct, settings.option_price_away_pct),
        repeats(executions, settings.repeats_per_minute),
        loss_velocity(samples, capital, settings.loss_pct, timedelta(minutes=settings.loss_minutes)),
    )
    return [one for one in found if one is not None]


def order_rate(spans: Sequence[OrderSpan], most: int | None) -> Finding | None:
    """More orders in a minute that ends with a lease than `most`. What was sent within longer counts in proportion."""
    count = max((sum(_within(span, end.end) for span in spans) for end in spans), default=0)
    if most is None or count <= most:
        return None
    return Finding(
        "order_rate", Decimal(count), Decimal(most), "", f"{count} orders within a minute, limit {most}"
    )


def _within(span: OrderSpan, end: datetime) -> int:
    """Return how many orders of a span were sent in the minute before a moment, as if they came evenly."""
    shared = min(span.end, end) - max(span.start, end - MINUTE)
    length = span.end - span.start
    if length <= timedelta(0):  # a clock was set back: all of it, where it ended
        return span.orders if end - MINUTE < span.end <= end else 0
    return span.orders * max(shared, timedelta(0)) // length


def fill_rate(executions: Sequence[Execution], most: int | None) -> Finding | None:
    """More orders with fills in any one minute than `most`: one that is executed in many lots is one."""
    count = _busiest(executions)
    if most is None or count <= most:
        return None
    return Finding(
        "fill_rate", Decimal(count), Decimal(most), "", f"{count} orders filled within a minute, limit {most}"
    )


def fill_size(executions: Iterable[Execution], usual: Usual, times: Decimal | None) -> Finding | None:
    """A fill of more than `times` the median quantity of the other fills in its group; the worst one is named."""
    worst: Finding | None = None
    for e in executions:
        others = sorted(quantity for key, quantity in usual.get(e.group, ()) if key != e.key)
        if times is None or len(others) < USUAL_FROM:
            continue
        ratio = divide(e.quantity, others[len(others) // 2], places=2)
        if ratio > times and (worst is None or ratio > worst.current):
            text = (
                f"{e.side} {decimal_text(e.quantity)} {e.symbol} is {decimal_text(ratio)} times the usual size, "
                f"limit {decimal_text(times)}"
            )
            worst = Finding("fill_size", ratio, times, "x", text)
    return worst


def price_away(
    executions: Iterable[Execution], most: Decimal | None, most_option: Decimal | None
) -> Finding | None:
    """A fill whose price is further from the mark than so many percent of the mark; the worst one is named."""
    worst: Finding | None = None
    for e in executions:
        limit = most_option if e.is_option else most
        if limit is None or e.mark is None or e.mark <= ZERO:
            continue
        away = divide(EXACT.multiply(abs(EXACT.subtract(e.price, e.mark)), HUNDRED), e.mark, places=2)
        if away > limit and (worst is None or away > worst.current):
            text = (
                f"{e.side} {decimal_text(e.quantity)} {e.symbol} at {decimal_text(e.price)} is "
                f"{decimal_text(away)}% from the mark {decimal_text(e.mark)}, limit {decimal_text(limit)}%"
            )
            worst = Finding("price_away", away, limit, "%", text)
    return worst


def repeats(executions: Iterable[Execution], most: int | None) -> Finding | None:
    """More orders in one minute with fills that are the same: symbol, side and quantity."""
    if most is None:
        return None
    alike: dict[tuple[str, str, Decimal], list[Execution]] = {}
    for e in executions:
        alike.setdefault((e.symbol, e.side, e.quantity), []).append(e)
    counts = Counter({same: _busiest(ran) for same, ran in alike.items()})
    for (symbol, side, quantity), count in counts.most_common(1):
        if count > most:
            text = f"{side} {decimal_text(quantity)} {symbol} {count} times within a minute, limit {most}"
            return Finding("repeats", Decimal(count), Decimal(most), "", text)
    return None


def loss_velocity(
    samples: Sequence[tuple[datetime, Decimal]],
    capital: Decimal,
    most: Decimal | None,
    window: timedelta,
) -> Finding | None:
    """A fall of the P&L, from its highest within `window` to now, of more than `most` percent of the capital."""
    if most is None or not samples or capital <= ZERO:
        return None
    now, latest = samples[-1]
    top = max(total for at, total in samples if now - at <= window)
    lost = divide(EXACT.multiply(EXACT.subtract(top, latest), HUNDRED), capital, places=2)
    if lost <= most:
        return None
    text = (
        f"{decimal_text(lost)}% of the capital lost within {int(window.total_seconds() // 60)} min, "
        f"limit {decimal_text(most)}%"
    )
    return Finding("loss_velocity", lost, most, "%", text)


def usual_after(before: Usual, executions: Iterable[Execution]) -> dict[str, list[tuple[str, Decimal]]]:
    """Return what is usual with these executions in it: of each group the newest, each once."""
    after = {group: list(known) for group, known in before.items()}
    for e in executions:
        known = after.setdefault(e.group, [])
        if all(key != e.key for key, _ in known):
            known.append((e.key, e.quantity))
            del known[:-USUAL_OF]
    return after


def _busiest(executions: Iterable[Execution]) -> int:
    """Return the most orders that have fills within any one minute."""
    most, first, within = 0, 0, Counter[str]()
    ordered = sorted(executions, key=lambda e: e.at)
    for e in ordered:
        within[e.order] += 1
        while ordered[first].at <= e.at - MINUTE:
            gone, first = ordered[first].order, first + 1
            within[gone] -= 1
            if not within[gone]:
                del within[gone]
        most = max(most, len(within))
    return most
