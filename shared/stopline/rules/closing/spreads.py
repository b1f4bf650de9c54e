"""Which of what has to go are the legs of one spread, so that they may go as one order."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date

from stopline.model.instrument import Kind
from stopline.rules.closing.targets import Wanted, in_closing_order

MOST_LEGS = 4  # of one order; brokers take no more


def spreads(found: Mapping[str, Wanted], as_one: Callable[[Wanted], bool]) -> list[list[Wanted]]:
    """Return the spreads among what has to go: long and short options of a trade, whatever their expiries; of what is of no
    trade, those of a strategy, underlying and expiry. `as_one`: whether the broker takes a spread of it.
    """
    groups: dict[tuple[str, str, date | None, str | None], list[Wanted]] = defaultdict(list)
    for one in in_closing_order(found):
        contract = one.position.instrument
        if contract.kind is Kind.OPTION and as_one(one):
            expiry = None if one.trade_id else contract.expiry
            groups[one.position.strategy, contract.underlying, expiry, one.trade_id].append(one)
    return [group for group in groups.values() if _is_spread(group)]


def _is_spread(group: list[Wanted]) -> bool:
    sides = {one.position.quantity > 0 for one in group}
    whole = all(one.units == one.units.to_integral_value() for one in group)
    return len(sides) == 2 and len(group) <= MOST_LEGS and whole
