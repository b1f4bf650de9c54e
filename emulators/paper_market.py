"""What the paper broker trades at: the latest quotes, and its fees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from emulators.paper_orders import Ticket
from stopline.model.fill import Side
from stopline.model.instrument import Kind
from stopline.model.prices import Quote
from stopline.risk.border import to_decimal

FEES: Mapping[Kind, Decimal] = {
    Kind.OPTION: Decimal("0.65"),
    Kind.FUTURE: Decimal("0.85"),
    Kind.EQUITY: Decimal("0.005"),
}
"""Money per contract or share; other kinds trade without a fee."""


@dataclass
class PaperMarket:
    """The latest quotes by symbol."""

    quotes: dict[str, Quote] = field(default_factory=dict)

    def price(self, ticket: Ticket) -> Decimal | None:
        """Return the price at which a ticket trades now; None without one, or while it is past the limit."""
        quote = self.quotes.get(ticket.instrument.symbol)
        if quote is None:
            return None
        buys = ticket.side is Side.BUY
        touch = quote.ask if buys else quote.bid
        price = to_decimal(touch if touch > 0 or (not buys and touch == 0) else quote.last)
        if price is None or not ticket.instrument.allows_price(price):
            return None
        if ticket.limit is None:
            return price
        good = price <= ticket.limit if buys else price >= ticket.limit
        return price if good else None
