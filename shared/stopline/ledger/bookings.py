"""Rows by which a broker books a trade, takes it back and books it again: of Flex statements of Interactive Brokers.

Statements cut these rows apart, repeat them and come in any order, so each row says by itself what it is: a fill carries its
row's transaction id, and the id of its trade, beside the known fields. What came later has the higher transaction id, and
the row that came last says what stands.
"""

from collections.abc import Iterable

from stopline.model.fill import EXECUTIONS, Fill, FillKind
from stopline.model.ids import document_id
from stopline.model.wire import validate

TRADE = "flex_trade"  # extra of a fill: the id of the trade that its row books
TRANSACTION = "flex_transaction"  # extra of a fill: the id of its row, a number
ORIGINAL = (
    "flex_original"  # extra of a bust: the id of the fill that it means, where its statement has that row too
)
BROKER = "ibkr"  # whose rows these are: others have ids that look like theirs
_TRADE_ID, _TRANSACTION_ID = "trade:", "transaction:"


def trade_id(trade: str) -> str:
    """Return our id of a trade that is known by its trade id alone."""
    return f"{_TRADE_ID}{trade}"


def transaction_id(transaction: str) -> str:
    """Return our id of a row that is known by its transaction id alone."""
    return f"{_TRANSACTION_ID}{transaction}"


def number_of(fill: Fill) -> int | None:
    """Return the number of the row that a fill is of; None where it has none. Versions of before 22 November 2026 said it in
    the id alone.
    """
    text = (fill.model_extra or {}).get(TRANSACTION)
    if text is None and fill.broker == BROKER and fill.fill_id.startswith(_TRANSACTION_ID):
        text = fill.fill_id.removeprefix(_TRANSACTION_ID).removesuffix(":fee")
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def names_row(amendment: Fill) -> bool:
    """Tell whether an amendment may name its fill by its trade or row, and not by the fill's own id."""
    return (amendment.ref or "").startswith((_TRADE_ID, _TRANSACTION_ID))


def other_keys(fill: Fill) -> list[str]:
    """Return the keys under which amendments wait that name a fill by its trade or row."""
    return [document_id(fill.broker, fill.account, name) for name in _other_ids(fill)]


def named(amendment: Fill, fills: Iterable[Fill]) -> str | None:
    """Return the id of one of these fills whose trade or row an amendment names: all of them are bookings of one trade. What
    TWS or an older version of the dialect told has neither: its own id says it, where the amendment has that.
    """
    told, home = (amendment.model_extra or {}).get(ORIGINAL), (amendment.broker, amendment.account)
    return min(
        (
            fill.fill_id
            for fill in fills
            if (amendment.ref in _other_ids(fill) or fill.fill_id == told)
            and (fill.broker, fill.account) == home
        ),
        default=None,
    )


def is_another(booked: Fill, fill: Fill) -> bool:
    """Tell whether a fill with the id of a booked one is of another row: the same trade booked again."""
    numbers = {number_of(booked), number_of(fill)}
    return len(numbers) == 2 and None not in numbers


def placed(booked: Fill, fill: Fill, others: Iterable[Fill]) -> list[Fill]:
    """Return what is booked of a row that says the place of a booked fill of its id among the rows of the trade, which TWS
    and older versions did not say: of a correction, or of a trade that one of `others` takes back, by its trade or row too.
    Empty: nothing. The row is then a correction to the same, and charges nothing more unless it came after that bust.
    """
    if number_of(booked) is not None or number_of(fill) is None or fill.kind not in EXECUTIONS:
        return []
    if not same_terms(booked, fill):
        return []
    names = {booked.fill_id, *_other_ids(fill)}
    numbers = {number_of(other) or 0 for other in others if is_row_bust(other) and other.ref in names}
    if not numbers and booked.kind is not FillKind.CORRECT:
        return []
    again = booked_again(fill, str(number_of(fill)))
    came_after = booked.kind is not FillKind.CORRECT and any(one < (number_of(fill) or 0) for one in numbers)
    return again if came_after else again[:1]


def is_row_bust(fill: Fill) -> bool:
    """Tell whether a fill is a numbered row that takes a trade back."""
    return fill.kind is FillKind.BUST and number_of(fill) is not None


def same_terms(one: Fill, other: Fill) -> bool:
    """Tell whether two fills say the same units at the same price."""
    return (one.side, one.quantity, one.price) == (other.side, other.quantity, other.price)


def priced_in(fill: Fill) -> tuple[object, ...]:
    """Return what the units and the price of a fill are of: all else of a contract a broker may tell in two ways."""
    contract = fill.instrument
    return contract.symbol, contract.currency, contract.multiplier


def booked_again(fill: Fill, transaction: str) -> list[Fill]:
    """Return a fill whose id a row before it has, under the id of its own row: as a correction of the trade, and what it
    charged.
    """
    facts = fill.model_dump(mode="json")
    row, ref = transaction_id(transaction), fill.ref or fill.fill_id
    charge = {
        **facts,
        "kind": FillKind.FEE.value,
        "fill_id": f"{row}:fee",
        "ref": ref,
        "quantity": "0",
        "price": "0",
    }
    fills = [validate(Fill, charge)] if fill.fee else []
    if fill.kind is not FillKind.FEE:
        free = {"fee": "0", "fee_currency": fill.instrument.currency}
        correction = {**facts, **free, "kind": FillKind.CORRECT.value, "fill_id": row, "ref": ref}
        fills.insert(0, validate(Fill, correction))
    return fills


def _other_ids(fill: Fill) -> list[str]:
    if fill.kind not in EXECUTIONS:
        return []
    extras = fill.model_extra or {}
    trade, number = extras.get(TRADE), number_of(fill)
    ids = [trade_id(trade)] if isinstance(trade, str) else []
    return ids if number is None else [*ids, transaction_id(str(extras.get(TRANSACTION, number)))]
