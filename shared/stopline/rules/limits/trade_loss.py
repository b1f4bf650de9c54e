"""What open trades with options have lost, of what they can lose: the spread is the unit, a leg alone says nothing."""

from collections.abc import Iterable
from decimal import Decimal

from stopline.ledger.expiry import settles
from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT, ZERO
from stopline.model.instrument import Instrument, Kind
from stopline.rules.limits.exposure import is_settling, share
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.limit import Measure
from stopline.rules.orders.open_risk import add, option_leg_of, shape_of, worst_of


def option_trade_losses(f: Figures) -> Iterable[Measure]:
    """Measure each open trade that has an option: what its open units have lost, in percent of `at_risk`. UNKNOWN where one
    of them has no price.
    """
    marks = {v.position.key: v.mark for v in f.positions}
    for trade in f.open_trades():
        units = trade.open_units
        if all(contract.kind is not Kind.OPTION for _, contract, _ in units):
            continue
        values = (_worth(contract, number, marks.get(key)) for key, contract, number in units)
        value = add(values)
        lost = None if value is None else max(EXACT.subtract(trade.cost, value), ZERO)
        name = f"{trade.underlying} trade {trade.trade_id[:8]}"
        yield Measure(name, share(lost, at_risk(trade)), is_settling(f, trade.underlying))


def at_risk(trade: Trade) -> Decimal:
    """Return what the open units of a trade can lose, in their currency, 0 or above: at expiry, with what was paid and less
    what was received for them, a naked call its strike (`rules/orders/open_risk.py`). With shares or futures beside the
    options, and where the options can lose nothing: what it cost.
    """
    if any(contract.kind is not Kind.OPTION for _, contract, _ in trade.open_units):
        return abs(trade.cost)
    worst = ZERO
    ends = {settles(contract) for _, contract, _ in trade.open_units}
    for end in ends:
        legs = tuple(option_leg_of(c, number) for _, c, number in trade.open_units if settles(c) == end)
        worst = EXACT.add(worst, worst_of(legs))
        if shape_of(legs).slope < 0 and trade.cost < 0:
            worst = EXACT.subtract(worst, trade.cost)  # a naked call is not safer by its credit
    most = EXACT.add(worst, trade.cost)
    return most if most > 0 else abs(trade.cost)


def _worth(contract: Instrument, units: Decimal, mark: Decimal | None) -> Decimal | None:
    return None if mark is None else EXACT.multiply(units, contract.worth(mark))
