"""What comparing one instrument, or one order, of an account with its brokers gave, and how people are told."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from stopline.model.decimals import decimal_text

OF_ORDER = " order "


class BreakKind(StrEnum):
    MISSING_AT_BROKER = "missing_at_broker"
    MISSING_HERE = "missing_here"
    QUANTITY = "quantity"
    SIGN = "sign"
    COST = "cost"  # blocks nothing: the risk is of the right size
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    CORPORATE_ACTION = "corporate_action"
    EXPIRED = "expired"  # an option that is over, and that one side still has
    ORDER = "order_quantity"  # the fills of an order are not what its broker has filled: `order_sums.py`
    ORDER_START = "order_start"  # of what was filled before an order's first fill here; blocks nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """What comparing one instrument gave. `kind` None: both sides agree. `waits` says why it was not compared, `doubt` what
    the sides hold where these differ and it will be known within the quiet time whether fills were on their way.

    `ours` and `theirs` are signed units over all strategies and brokers, the prices averages of a unit; None is
    UNKNOWN. `brokers` are those whose statements show the instrument. `order`: whose units these are instead, of one
    broker, and the `session` that it began in, as its number may be given again; empty for what is held.
    """

    symbol: str
    kind: BreakKind | None = None
    ours: Decimal | None = None
    theirs: Decimal | None = None
    our_price: Decimal | None = None
    their_price: Decimal | None = None
    waits: str = ""
    doubt: str = ""
    brokers: tuple[str, ...] = ()
    order: str = ""
    session: date | None = None  # also of an order where an older version has found it

    @property
    def name(self) -> str:
        """What it is about: an instrument, or a broker's order of a session in one."""
        if not self.order:
            return self.symbol
        of = f" of {self.session.isoformat()}" if self.session else ""
        return f"{self._named} of {', '.join(self.brokers)}{of}"

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and what older versions called it: they knew an order by its number, then by its broker too."""
        if not self.order:
            return (self.symbol,)
        return self.name, self._named, f"{self._named} of {', '.join(self.brokers)}"

    @property
    def _named(self) -> str:
        return f"{self.symbol}{OF_ORDER}{self.order}"


def words(finding: Finding) -> str:
    """Say what differs, for people."""
    here, there = _number(finding.ours), _number(finding.theirs)
    match finding.kind:
        case None:
            return finding.waits or f"both hold {here}"
        case BreakKind.MISSING_AT_BROKER:
            return f"we hold {here}, the broker none"
        case BreakKind.MISSING_HERE:
            return f"the broker holds {there}, we none"
        case BreakKind.EXPIRED:
            sides = f"we hold {here}, the broker {there}"
            return f"it has expired, and {sides}: an expiry, exercise, assignment or settlement has come to one side only"
        case BreakKind.SIGN:
            return f"we hold {here}, the broker {there}: the other side"
        case BreakKind.COST:
            return f"our average price is {_number(finding.our_price)}, the broker's {_number(finding.their_price)}"
        case BreakKind.UNKNOWN_INSTRUMENT:
            return "the broker holds a contract that cannot be told from what it says"
        case BreakKind.CORPORATE_ACTION:
            return f"we hold {here}, the broker {there}: as after a split or an adjusted contract"
        case BreakKind.ORDER:
            return _of_order(finding)
        case BreakKind.ORDER_START:
            return f"{_of_order(finding)}: the rest was filled before, and lost here or by an order that it replaces"
    return both_sides(finding)


def both_sides(finding: Finding) -> str:
    """Say what both hold."""
    return f"we hold {_number(finding.ours)}, the broker {_number(finding.theirs)}"


def _of_order(finding: Finding) -> str:
    here, there = _number(finding.ours), _number(finding.theirs)
    return f"order {finding.order} has filled {there} by what {', '.join(finding.brokers)} says, {here} are booked"


def _number(value: Decimal | None) -> str:
    return "unknown" if value is None else decimal_text(value)
