"""What to do about limits that warn or are in breach: which position, what to do with it, and the limit after that.

Every effect is worked out, not guessed: the limit is read again with the reduced positions. A strategy's options on one
underlying are reduced together, so that closing a leg never leaves another one naked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext

from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.instrument import Kind
from stopline.rules.alerting.text_parts import amount
from stopline.rules.limits.figures import Valued
from stopline.rules.limits.registry import Level, Reading

FRACTIONS = (Decimal("0.25"), Decimal("0.5"), Decimal("0.75"), Decimal(1))
Read = Callable[[Sequence[Valued]], Mapping[str, Reading]]
"""Given positions, read every limit of the account, by key."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation. `after` is None where nothing that is held changes the limit."""

    limit: str
    object: str
    position: str
    action: str
    effect: str
    before: Decimal | None
    after: Decimal | None
    threshold: Decimal


def advise(positions: Sequence[Valued], read: Read, unrated: Sequence[str] = ()) -> list[Advice]:
    """Return a recommendation for every limit that is not OK, breaches first; unknown ones are about data: prices, and
    `unrated` pairs of currencies.
    """
    now = read(positions)
    rank = {Level.BREACH: 0, Level.WARN: 1, Level.UNKNOWN: 2}
    troubled = sorted(
        (reading for reading in now.values() if reading.level in rank), key=lambda r: (rank[r.level], r.key)
    )
    groups = _groups(positions)
    unseen = sorted({v.position.instrument.symbol for v in positions if v.mark is None} | {*unrated})
    return [_advice(reading, positions, groups, read, unseen) for reading in troubled]


def _groups(positions: Sequence[Valued]) -> dict[str, list[Valued]]:
    """Return what is reduced together: a strategy's options on an underlying, anything else alone; by name."""
    groups: dict[str, list[Valued]] = {}
    for valued in positions:
        groups.setdefault(group_of(valued), []).append(valued)
    return groups


def group_of(valued: Valued) -> str:
    """Return the name of what a position is reduced with."""
    contract, strategy = valued.position.instrument, valued.position.strategy
    name = f"{contract.underlying} options" if contract.kind is Kind.OPTION else contract.symbol
    return f"{name} ({strategy})"


def _advice(
    reading: Reading,
    positions: Sequence[Valued],
    groups: Mapping[str, list[Valued]],
    read: Read,
    unseen: Sequence[str],
) -> Advice:
    limit, object_, before = reading.limit.name, reading.object, reading.current

    def made(position: str, action: str, effect: str, after: Decimal | None) -> Advice:
        return Advice(limit, object_, position, action, effect, before, after, reading.threshold)

    if reading.level is Level.UNKNOWN or before is None:
        return made(
            ", ".join(unseen) or "-",
            "Check the price feed" if unseen else "Check the data that this limit needs",
            "the limit cannot be read: it is neither kept nor broken",
            None,
        )
    best: tuple[Decimal, str, Decimal] | None = None
    for name in groups:
        for fraction in FRACTIONS:
            after = _current(read(_without(positions, groups[name], fraction)), reading.key)
            if after is None or after >= before:
                continue
            enough = after < reading.threshold
            if best is None or (after < best[0] and best[0] >= reading.threshold):
                best = after, name, fraction
            if enough:
                break
    if best is None:
        return made(
            "-",
            "Open nothing that adds to it",
            "no position that is held brings it down: what is lost is lost" if groups else "nothing is held",
            None,
        )
    after, name, fraction = best
    unit = reading.unit
    units = ", ".join(
        f"{decimal_text(_part(v, fraction))} of {decimal_text(abs(v.position.quantity))} {v.position.instrument.symbol}"
        for v in groups[name][:4]
    )
    more = f" and {len(groups[name]) - 4} more" if len(groups[name]) > 4 else ""
    shares = [100 * _part(v, fraction) / abs(v.position.quantity) for v in groups[name]]
    low, high = (f"{share:.0f}" for share in (min(shares), max(shares)))  # as closed: units are rounded up
    how = "Close" if min(shares) == 100 else f"Close {low if low == high else f'{low} to {high}'}% of"
    return made(
        name,
        f"{how} {name}: {units}{more}",
        f"{reading.limit.what} goes from {amount(before, unit)} to {amount(after, unit)}, "
        f"limit {amount(reading.threshold, unit)}",
        after,
    )


def _current(readings: Mapping[str, Reading], key: str) -> Decimal | None:
    """Return what a limit would read; one whose object is gone reads 0."""
    return readings[key].current if key in readings else ZERO


def _without(positions: Sequence[Valued], group: Sequence[Valued], fraction: Decimal) -> list[Valued]:
    """Return positions with a part of some closed at their marks: what was unrealised stays in the account."""
    reduced = {valued.position.key for valued in group}
    return [_reduced(v, fraction) if v.position.key in reduced else v for v in positions]


def _reduced(valued: Valued, fraction: Decimal) -> Valued:
    position = valued.position.copy()
    left = 1 - divide(_part(valued, fraction), abs(position.quantity), 18)
    with localcontext(EXACT):
        position.units = position.quantity * left
        position.spent = position.cost * left
        return Valued(
            position, valued.mark, None if valued.value is None else valued.value * left, valued.unrealised
        )


def _part(valued: Valued, fraction: Decimal) -> Decimal:
    """Return how many units a part is: whole ones, rounded up, where the position is whole."""
    quantity = abs(valued.position.quantity)
    part = quantity * fraction
    return part.to_integral_value(ROUND_CEILING) if quantity == quantity.to_integral_value() else part
