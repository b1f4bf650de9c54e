"""Corrections in another contract than the fill that they correct: which of the two is wrong nobody here knows."""

from collections.abc import Mapping, Sequence

from stopline.ledger.amend import DEPTH, any_day_key, target_key
from stopline.ledger.arrivals import Reader
from stopline.ledger.bookings import number_of, other_keys, priced_in
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind


def of_other_contract(
    fills: Sequence[Fill], reader: Reader, held: Mapping[str, Sequence[Fill]]
) -> dict[str, Rejected]:
    """Return, by key, why new fills cannot be booked: a correction, and the fill that it is about in the end, are of two
    contracts. What came first stands, but a correction that was taken back; of one message the fill. `held`: the amendments
    that wait.
    """
    pairs = [
        (fill, fill, root)
        for fill in fills
        if fill.kind is FillKind.CORRECT and (root := reader.root(fill)[1]) is not None
    ]
    pairs += [
        (fill, back, root)
        for fill in fills
        if (back := _brought_back(fill, reader)) is not None and (root := reader.root(back)[1]) is not None
    ]
    for fill in fills:
        waiting = [one for key in waiting_keys(fill) for one in held.get(key, ())]
        if not _is_taken_back(fill, waiting):
            pairs += [(fill, one, fill) for one in waiting if one.kind is FillKind.CORRECT]
    return {new.key: _refusal(new, one, of) for new, one, of in pairs if priced_in(one) != priced_in(of)}


def _is_taken_back(fill: Fill, waiting: Sequence[Fill]) -> bool:
    """Tell whether a bust of a fill, or of a correction of it, waits with that, and none of that bust."""
    busts = [one for one in waiting if one.kind is FillKind.BUST and number_of(one) is None]

    def undone(key: str, depth: int = 0) -> bool:
        return depth < DEPTH and any(
            target_key(bust) == key and not undone(bust.key, depth + 1) for bust in busts
        )

    return undone(fill.key) or any(undone(one.key) for one in waiting if one.kind is FillKind.CORRECT)


def _brought_back(fill: Fill, reader: Reader) -> Fill | None:
    """Return the correction whose bust a fill takes back, if that is what it does."""
    at: Fill | None = reader.resolved(fill)
    busts = 0
    while at is not None and at.kind is FillKind.BUST and busts < DEPTH:
        at, busts = reader.known(target_key(at)), busts + 1
    is_back = at is not None and at.kind is FillKind.CORRECT and busts > 0 and busts % 2 == 0
    return at if is_back else None


def waiting_keys(fill: Fill) -> list[str]:
    """Return the keys under which amendments of a fill wait."""
    return [key for key in (fill.key, any_day_key(fill), *other_keys(fill)) if key]


def _refusal(new: Fill, correction: Fill, of: Fill) -> Rejected:
    return Rejected(
        "CONTRACT_CHANGED",
        f"{new.kind.value} {new.fill_id} of {new.position_key} was not booked: correction {correction.fill_id} is of "
        f"{_shown(correction)}, the fill that it corrects, {of.fill_id}, of {_shown(of)}. Ask the broker which it was; a "
        "trade in another contract is booked as a bust and a fill with its own id",
    )


def _shown(fill: Fill) -> str:
    symbol, currency, multiplier = priced_in(fill)
    return f"{symbol} ({currency}, {multiplier} a unit)"
