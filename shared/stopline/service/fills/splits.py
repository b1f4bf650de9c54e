"""A split that comes twice, under two ids: once by hand and once as the broker tells it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from stopline.ledger.amend import effective, is_amendment
from stopline.model.decimals import EXACT
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

APART = timedelta(days=5)
"""Two splits of one ratio that are no further apart are one: told with another date, or by hand."""


def split_twice(fills: Sequence[Fill], known: Callable[[Fill], Iterable[Fill]]) -> dict[str, Rejected]:
    """Return, by key, why new splits cannot be booked: one of the same position and ratio stands under another id.

    `known` gives the booked fills of a fill's position. One that is busted stands no more. A split whose `ref` names the
    other is meant to be one more.
    """
    refused = _brought_back(fills, known)
    stand: dict[str, list[Fill]] = {}
    amendments = [fill for fill in fills if is_amendment(fill) and fill.key not in refused]
    for fill in sorted((fill for fill in fills if fill.kind is FillKind.SPLIT), key=lambda fill: fill.order):
        if fill.position_key not in stand:
            stand[fill.position_key] = _splits([*known(fill), *amendments])
        beside = stand[fill.position_key]
        twin = next((one for one in beside if _is_same(one, fill) and one.fill_id != fill.ref), None)
        if twin is None:
            beside.append(fill)
        else:
            refused[fill.key] = _refusal(fill, twin)
    return refused


def _brought_back(fills: Sequence[Fill], known: Callable[[Fill], Iterable[Fill]]) -> dict[str, Rejected]:
    """Return, by key, why a bust cannot undo another: a split would stand again whose like was booked meanwhile."""
    refused: dict[str, Rejected] = {}
    for bust in (fill for fill in fills if fill.kind is FillKind.BUST):
        log = list(known(bust))
        if not any(fill.kind is FillKind.SPLIT for fill in log):
            continue
        before = {fill.key for fill in _splits(log)}
        after = _splits([*log, bust])
        for again in (fill for fill in after if fill.key not in before):
            twin = next((one for one in after if one.key in before and _is_same(one, again)), None)
            if twin is not None and again.fill_id != twin.ref and twin.fill_id != again.ref:
                refused[bust.key] = _refusal(again, twin)
    return refused


def _splits(fills: Iterable[Fill]) -> list[Fill]:
    return [one.fill for one in effective(fills) if one.fill.kind is FillKind.SPLIT]


def _is_same(one: Fill, other: Fill) -> bool:
    near = abs(one.executed_at - other.executed_at) <= APART
    return near and EXACT.multiply(one.quantity, other.price) == EXACT.multiply(other.quantity, one.price)


def _refusal(fill: Fill, twin: Fill) -> Rejected:
    ratio = f"{fill.quantity:f} for {fill.price:f}"
    return Rejected(
        "ALREADY_SPLIT",
        f"split {fill.fill_id} ({ratio}) of {fill.position_key}: {twin.fill_id} of {twin.executed_at.date().isoformat()} "
        "has booked that ratio; nothing was booked. If it is the same split, drop this message. If there were two, publish "
        f"a native fill of kind SPLIT with its own fill_id and ref {twin.fill_id}",
    )
