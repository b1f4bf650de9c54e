"""Prices that an account wants to be told of: a level is an opportunity, or the end of one."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator

from stopline.model.decimals import DecimalText
from stopline.model.ids import Name, Symbol
from stopline.model.messages import Severity
from stopline.model.text import Text
from stopline.model.wire import Message


def _price(value: Decimal) -> Decimal:
    if not 0 < value <= Decimal(10) ** 9:
        raise ValueError(f"must be above 0 and at most 1E+9, was {value}")
    return value


class PriceLevel(Message):
    """Tell when the price of `symbol` is at or `above`, or at or `below`, `price`. `note`: what you want to do then.

    It is told again when the price has gone back by 0.5 % of the level and comes once more. Any symbol of a feed will do,
    it need not be held.
    """

    name: Name
    symbol: Symbol
    side: Literal["above", "below"]
    price: Annotated[DecimalText, AfterValidator(_price)]
    severity: Severity = Severity.INFO
    note: Text = ""

    @property
    def key(self) -> str:
        """What it is known by: another price is another level."""
        return f"{self.name}|{self.symbol}|{self.side}|{self.price}"
