"""What one unit of an order moves like: the money of its underlying that moves as it does."""

from decimal import Decimal

from stopline.ledger.expiry import is_american
from stopline.model.decimals import EXACT, ZERO
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order
from stopline.risk.american import american, american_volatility
from stopline.risk.border import to_decimal
from stopline.risk.implied_vol import implied_volatility
from stopline.risk.options import black_scholes
from stopline.rules.orders.decision import Desk
from stopline.service.prices.greeks import dividend_yield, expiry_of

A_YEAR = 365 * 86_400  # seconds
NEUTRAL = Decimal("0.05")  # of what its legs have each: less than that is left where they cancel out


def moved_value(order: Order, desk: Desk) -> Decimal | str:
    """Return |delta x price of the underlying| of one unit of an order, over all its legs, in its currency, or why there is
    none. Of what is no option it is the market value. An option's delta is that of the volatility in its own mark.
    """
    net = gross = ZERO
    for leg in order.legs:
        contract = leg.instrument
        one = contract.worth(desk.marks[contract.symbol])
        if contract.kind is Kind.OPTION:
            delta, spot = option_delta(contract, desk), desk.figures.market.spots.get(contract.underlying)
            if delta is None or spot is None:
                return f"the delta of {contract.symbol} is unknown: it needs prices of it and of {contract.underlying}"
            one = EXACT.multiply(EXACT.multiply(delta, spot), contract.multiplier)
        one = EXACT.multiply(leg.signed, one)
        net, gross = EXACT.add(net, one), EXACT.add(gross, abs(one))
    if abs(net) <= gross * NEUTRAL:
        return "its legs cancel out, so that it hardly moves with the underlying: size it by its risk"
    return abs(net)


def option_delta(contract: Instrument, desk: Desk) -> Decimal | None:
    """Return the delta of an option at its mark, by the model that the account's Greeks are of; None where the mark, the
    price of the underlying or time is missing, or the mark is no price that an option can have.
    """
    account = desk.account
    spot, mark = desk.figures.market.spots.get(contract.underlying), desk.marks.get(contract.symbol)
    if spot is None or mark is None:
        return None
    futures = {
        v.position.instrument.symbol
        for v in desk.figures.positions
        if v.position.instrument.kind is Kind.FUTURE
    }
    years = (expiry_of(account, contract) - desk.now).total_seconds() / A_YEAR
    terms = (float(spot), float(contract.strike or ZERO), years)
    rate, dividend = float(account.measures.rate), dividend_yield(account, contract, futures)
    is_call = contract.right == "C"
    if is_american(contract, account.sessions):
        solved = american_volatility(is_call, float(mark), *terms, rate, dividend)
        return to_decimal(float(american(is_call, *terms, solved.value, rate, dividend).delta), 6)
    solved = implied_volatility(is_call, float(mark), *terms, rate, dividend)
    return to_decimal(float(black_scholes(is_call, *terms, solved.value, rate, dividend).delta), 6)
