"""Settlements of one option at two prices: one of them is wrong, and no order of ids may choose which."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from stopline.ledger.amend import effective, root_of
from stopline.model.errors import Rejected
from stopline.model.fill import ENDINGS, ENDS, HELD, NEEDS_REF, Fill, FillKind
from stopline.model.instrument import Kind


def ends_option(fill: Fill) -> bool:
    """Tell whether a fill ends what is held of an option, whatever that is: of two the first leaves the other nothing."""
    return (
        fill.kind in ENDINGS
        and fill.instrument.kind is Kind.OPTION
        and (fill.model_extra or {}).get(ENDS) == HELD
    )


def settled_twice(fills: Sequence[Fill], known: Callable[[Fill], Iterable[Fill]]) -> dict[str, Rejected]:
    """Return, by key, why new fills cannot be booked: an option would have ended at two prices. What came first stands.

    `known` gives the booked fills of a fill's position. What is busted, by the same message too, stands no more.
    """
    refused: dict[str, Rejected] = {}
    homes: dict[str, list[Fill]] = {}
    for fill in sorted(fills, key=lambda fill: fill.order):
        if ends_option(fill) or (fill.kind in NEEDS_REF and fill.instrument.kind is Kind.OPTION):
            homes.setdefault(fill.position_key, []).append(fill)
    for some in homes.values():
        stand = list(known(some[0]))
        changes = _bringing_back(some, stand)
        stand += (fill for fill in some if fill.kind in NEEDS_REF and fill not in changes)
        for more in (changes, *([fill] for fill in filter(ends_option, some))):
            stood, after = _prices(stand), _prices([*stand, *more])
            if len(after) > max(len(stood), 1):
                refused |= {fill.key: _refusal(fill, stood) for fill in more}
            else:
                stand += more
    return refused


def _bringing_back(fills: Iterable[Fill], stand: Sequence[Fill]) -> list[Fill]:
    """Return the changes by which a settlement may stand again that was taken back: no changes of trades, and no correction
    of a settlement that stands, which says its price itself.
    """
    log = {fill.key: fill for fill in (*stand, *fills)}
    standing = {one.fill.key for one in effective(stand)}
    roots = [(fill, *root_of(fill, log.get)) for fill in fills if fill.kind in NEEDS_REF]
    return [
        fill
        for fill, key, root in roots
        if root is not None and ends_option(root) and not (fill.kind is FillKind.CORRECT and key in standing)
    ]


def _prices(fills: Iterable[Fill]) -> set[Decimal]:
    return {one.fill.price for one in effective(fills) if ends_option(one.fill)}


def _refusal(fill: Fill, prices: set[Decimal]) -> Rejected:
    told = ", ".join(f"{price:f}" for price in sorted(prices))
    return Rejected(
        "SETTLED_TWICE",
        f"{fill.kind.value} {fill.fill_id} of {fill.position_key}: it is settled at {told}, and nothing was booked. If that "
        "is wrong, bust that settlement first, then publish this again",
    )
