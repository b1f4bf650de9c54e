"""How options leave a book: what a settlement price makes of them, and what assignment would bring.

Stopline invents no settlement. A position in an expired option ends by a fill of the broker (EXPIRE, ASSIGN,
EXERCISE, SETTLE), or by the fills that `settlement` makes of a price that a person gives; only what is settled in
cash can be ended by a price.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from stopline.ledger.expiry import ExpiryClock, Settlement, expiry_clock, is_american, root_of
from stopline.ledger.position import Position
from stopline.model.calendars import Calendar
from stopline.model.decimals import EXACT, ZERO, decimal_text
from stopline.model.errors import Rejected
from stopline.model.fill import ENDS, FILL_TYPE, HELD, FillKind
from stopline.model.ids import digest
from stopline.model.instrument import Instrument, Kind
from stopline.model.times import utc_text

SpotOf = Callable[[str], Decimal | None]
"""The usable price of an underlying; None: UNKNOWN."""


def intrinsic(contract: Instrument, spot: Decimal) -> Decimal:
    """Return what exercising one unit of an option is worth per unit of the underlying; never below 0."""
    assert contract.strike is not None
    gain = EXACT.subtract(spot, contract.strike)
    return max(gain if contract.right == "C" else -gain, ZERO)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the assignment of a short option would bring: `units` of the underlying (negative: delivered; 0: settled in
    cash) and `money` (negative: paid), at the price of the underlying now. `is_expected`: it is in the money; None
    is UNKNOWN. `early`: it may come before expiry. `dividend`: that of a short call on a share; before an ex-dividend day
    that is likely, and Stopline knows no dividend dates.
    """

    position: Position
    clock: ExpiryClock
    is_expected: bool | None
    units: Decimal
    money: Decimal | None
    early: bool
    dividend: bool


def assignments(positions: Iterable[Position], sessions: Calendar, spot_of: SpotOf) -> list[Assignment]:
    """Return what the assignment of each short option would bring, in the order of their positions."""
    result = []
    for position in positions:
        contract = position.instrument
        if contract.kind is not Kind.OPTION or position.quantity >= 0:
            continue
        assert contract.strike is not None
        clock = expiry_clock(contract, sessions)
        spot = spot_of(contract.underlying)
        worth = None if spot is None else intrinsic(contract, spot)
        units = EXACT.multiply(-position.quantity, contract.multiplier)
        delivers, early = clock.settlement is Settlement.DELIVERY, is_american(contract, sessions)
        if delivers:
            moved = -units if contract.right == "C" else units
            money: Decimal | None = EXACT.multiply(-moved, contract.strike)
        else:
            moved = ZERO
            money = None if worth is None else EXACT.multiply(-units, worth)
        result.append(
            Assignment(
                position=position,
                clock=clock,
                is_expected=None if worth is None else worth > 0,
                units=moved,
                money=money,
                early=early,
                dividend=early and delivers and contract.right == "C",
            )
        )
    return result


def exposure(expected: Sequence[Assignment]) -> dict[str, Decimal | None]:
    """Return the money that expected assignments would move, by currency: strike x multiplier x units of the short
    options in the money, positive. Unknown where one of them is.
    """
    sums: dict[str, Decimal | None] = {}
    for each in expected:
        currency = each.position.instrument.currency
        before = sums.setdefault(currency, ZERO)
        if each.is_expected is None or before is None:
            sums[currency] = None
        elif each.is_expected:
            assert each.money is not None
            sums[currency] = EXACT.add(before, abs(each.money))
    return sums


def settlement(
    account: str,
    positions: Iterable[Position],
    root: str,
    expiry: date,
    price: Decimal,
    broker: str,
    sessions: Calendar,
    now: datetime,
    is_booked: Callable[[str], bool] = lambda _: False,
) -> list[dict[str, Any]]:
    """Return the fills, as messages, that end an account's options of a root and expiry at a settlement price.

    In the money SETTLE at the intrinsic value, else EXPIRE at 0, executed when the price was made. Their ids follow from
    the price and from what is held since which fill, so the same settlement twice is a duplicate, and one of a position that
    stands otherwise is none. Rejected: nothing is open there, it is settled by delivery, or the price cannot be known yet.
    `is_booked` says whether a fill has an id: with that a settlement that was taken back comes again under another one.
    """
    if price <= 0:
        raise Rejected("BAD_PRICE", f"a settlement price must be above 0, was {price}")
    held = [
        p
        for p in positions
        if not p.is_flat
        and p.instrument.kind is Kind.OPTION
        and p.instrument.expiry == expiry
        and root_of(p.instrument) == root
    ]
    if not held:
        raise Rejected("NOTHING_TO_SETTLE", f"{account} holds no option of {root} that expires on {expiry}")
    clock = expiry_clock(held[0].instrument, sessions)
    if clock.settlement is Settlement.DELIVERY:
        raise Rejected(
            "SETTLED_BY_DELIVERY",
            f"{root} is settled by delivery: a price does not say who was assigned. Book the broker's fills",
        )
    if now < clock.settles_at:
        raise Rejected(
            "NOT_SETTLED_YET", f"the settlement price of {root} is made at {utc_text(clock.settles_at)}"
        )
    return [
        {
            **_ending(account, position, price, broker, clock.settles_at),
            "fill_id": next(id_ for id_ in _ids(position, price) if not is_booked(id_)),
        }
        for position in held
    ]


def _ids(position: Position, price: Decimal) -> Iterator[str]:
    """Yield ids of the fill that settles a position as it stands: the first, and those after it was taken back."""
    last = position.last
    facts = (
        position.strategy,
        position.instrument.symbol,
        decimal_text(price),
        decimal_text(position.quantity),
    )
    since = (utc_text(last[0]), last[1]) if last else ("", "")
    for times in count():
        yield f"settle:{digest(*facts, *since, str(times))}"


def _ending(account: str, position: Position, price: Decimal, broker: str, at: datetime) -> dict[str, Any]:
    contract = position.instrument
    worth = intrinsic(contract, price)
    return {
        "type": FILL_TYPE,
        "broker": broker,
        "account": account,
        "strategy": position.strategy,
        "instrument": contract.model_dump(mode="json"),
        "side": "BUY" if position.quantity < 0 else "SELL",
        "quantity": decimal_text(abs(position.quantity)),
        "price": decimal_text(worth),
        "executed_at": utc_text(at),
        "kind": (FillKind.SETTLE if worth else FillKind.EXPIRE).value,
        ENDS: HELD,  # two settlements that meet end the position once
    }
