"""What the money breakers look at, out of an account's figures and readings; None is UNKNOWN."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from stopline.model.decimals import EXACT, ZERO, divide
from stopline.rules.limits.figures import Figures, add
from stopline.rules.limits.registry import Reading

HUNDRED = Decimal(100)


def money_facts(f: Figures, read: Sequence[Reading]) -> Mapping[str, Decimal | None]:
    """Return loss and profit in % of the capital paid in, loss of the day in % of the equity at its start, drawdown in %
    as the limit of that name reads it, and the number of open positions.
    """
    paid_in = add([f.account.capital, f.flows])
    drawdowns = [r.current for r in read if r.limit.name == "max_drawdown"]
    return {
        "loss": _percent(None if f.total is None else max(EXACT.minus(f.total), ZERO), paid_in),
        "profit": _percent(None if f.total is None else max(f.total, ZERO), paid_in),
        "daily_loss": _percent(
            None if f.pnl_day is None else max(EXACT.minus(f.pnl_day), ZERO), f.day_start_equity
        ),
        "drawdown": drawdowns[0] if drawdowns else None,
        "positions": Decimal(len(f.positions)),
    }


def _percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or whole is None or whole <= 0:
        return None
    return divide(EXACT.multiply(part, HUNDRED), whole, places=6)
