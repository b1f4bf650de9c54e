"""A split that comes twice, under two ids: once by hand and once as the broker tells it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import groupby

from stopline.ledger.amend import effective, is_amendment, target_key
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
    """Return, by key, why amendments cannot be booked: by a bust of a bust, or a correction, a split would stand whose like
    was booked meanwhile. Those of one position are judged together: it is what stands after all of them.
    """
    refused: dict[str, Rejected] = {}
    amendments = [fill for fill in fills if fill.kind in (FillKind.BUST, FillKind.CORRECT)]
    for _, some in groupby(sorted(amendments, key=_home), key=_home):
        first, *more = some
        log = list(known(first))
        about = {fill.key for fill in log if fill.kind is FillKind.SPLIT or is_amendment(fill)}
        changes = [change for change in (first, *more) if target_key(change) in about]
        if not changes:
            continue
        stood = {(one.key, one.quantity, one.price) for one in _splits(log)}
        after = _splits([*log, *changes])
        for new in (one for one in after if (one.key, one.quantity, one.price) not in stood):
            twin = next((one for one in after if one.key != new.key and _is_same(one, new)), None)
            if twin is not None and new.fill_id != twin.ref and twin.fill_id != new.ref:
                refused |= {change.key: _refusal(new, twin) for change in changes}
    return refused


def _home(fill: Fill) -> str:
    return fill.position_key


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
