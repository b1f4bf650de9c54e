"""A message of many fills in parts that fit in a commit each."""

from collections.abc import Iterable

from stopline.model.fill import Fill, FillKind, Place
from stopline.service.fills.provisional import is_of_cumulative_order

MAX_FILLS = 200  # in one commit: with the book they fit in it


def parts(fills: Iterable[Fill]) -> list[list[Fill]]:
    """Return a message's fills in parts. Where there are several, what takes provisional fills back comes before the trades
    that take their place, and all else in fold order: it need not be folded again.
    """
    all_ = list(fills)
    if len(all_) > MAX_FILLS:
        all_.sort(key=_turn)
    return [all_[start : start + MAX_FILLS] for start in range(0, len(all_), MAX_FILLS)]


def _turn(fill: Fill) -> tuple[bool, Place]:
    return not (fill.kind is FillKind.BUST and is_of_cumulative_order(fill)), fill.order
