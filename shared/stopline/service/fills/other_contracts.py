"""Corrections in another contract than the fill that they correct: which of the two is wrong nobody here knows."""

from collections.abc import Mapping, Sequence

from stopline.ledger.amend import any_day_key, target_key
from stopline.ledger.arrivals import Reader
from stopline.ledger.bookings import other_keys
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
        (fill, waited, fill)
        for fill in fills
        for key in waiting_keys(fill)
        for waited in held.get(key, ())
        if waited.kind is FillKind.CORRECT and not _is_taken_back(waited, held)
    ]
    return {new.key: _refusal(new, one, of) for new, one, of in pairs if _priced_in(one) != _priced_in(of)}


def _is_taken_back(waited: Fill, held: Mapping[str, Sequence[Fill]]) -> bool:
    """Tell whether a bust waits too, of a correction that waits or of what it corrects."""
    meant = {waited.key, target_key(waited)}
    return any(
        one.kind is FillKind.BUST and target_key(one) in meant for some in held.values() for one in some
    )


def waiting_keys(fill: Fill) -> list[str]:
    """Return the keys under which amendments of a fill wait."""
    return [key for key in (fill.key, any_day_key(fill), *other_keys(fill)) if key]


def _priced_in(fill: Fill) -> tuple[object, ...]:
    """Return what the units and the price of a fill are of: all else of a contract a broker may tell in two ways."""
    contract = fill.instrument
    return contract.symbol, contract.currency, contract.multiplier


def _refusal(new: Fill, correction: Fill, of: Fill) -> Rejected:
    return Rejected(
        "CONTRACT_CHANGED",
        f"{new.kind.value} {new.fill_id} of {new.position_key} was not booked: correction {correction.fill_id} is of "
        f"{_shown(correction)}, the fill that it corrects, {of.fill_id}, of {_shown(of)}. Ask the broker which it was; a "
        "trade in another contract is booked as a bust and a fill with its own id",
    )


def _shown(fill: Fill) -> str:
    symbol, currency, multiplier = _priced_in(fill)
    return f"{symbol} ({currency}, {multiplier} a unit)"
