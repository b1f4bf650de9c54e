"""Orders as adapters know them: what reduces there reduces for the check as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.instrument import Instrument
from stopline.model.order import Order as Checked
from stopline.model.order import OrderLeg
from stopline.rules.orders.adapter_order import Beside, Order
from stopline.rules.orders.reducing import truly_reduces

from ..make import account, at, equity, option, trade

SPXW = equity("SPXW")
LATER = date(2026, 11, 20)
CONTRACTS = [
    SPXW,
    *(option(strike, right) for strike in (5980, 6000) for right in "CP"),
    *(option(6000, right, LATER) for right in "CP"),
]
Holding = tuple[Instrument, int]


def positions(holdings: Sequence[Holding]) -> list[Position]:
    fills = [trade(n, units, 1, instrument=what) for n, (what, units) in enumerate(holdings)]
    return Book("demo").with_fills(fills, account().sessions.session_of, lambda *_: [], at()).open_positions()


def ask(holdings: Sequence[Holding], units: int) -> Order:
    """An order in the first of the holdings."""
    (instrument, held), *others = holdings
    beside = [Beside(what, Decimal(n)) for what, n in others]
    return Order.of("default", instrument, Decimal(held), Decimal(units), [], beside)


def server(holdings: Sequence[Holding], units: int) -> bool:
    leg = OrderLeg(instrument=holdings[0][0], side="BUY" if units > 0 else "SELL")
    return truly_reduces(Checked(legs=(leg,), quantity=Decimal(abs(units))), positions(holdings))


LOT = st.integers(-3, 3).filter(bool)


@settings(max_examples=150)
@example([(option(5990, "P"), 1), (option(6000, "P"), -1)], -1)
@example([(SPXW, 3), (option(6000, "C"), -1)], -3)
@given(
    st.lists(
        st.tuples(st.sampled_from(CONTRACTS), LOT), min_size=1, max_size=5, unique_by=lambda h: h[0].symbol
    ),
    LOT,
)
def test_what_reduces_for_an_adapter_reduces_for_the_check(holdings: list[Holding], units: int) -> None:
    """R2.2, R5.1: given the same holdings neither lets through what the other refuses."""
    assert ask(holdings, units).reduces is server(holdings, units)


@pytest.mark.parametrize(
    ("holdings", "units", "reduces"),
    [
        ([(option(5990), 10)], -10, True),
        ([(option(5990), 10), (option(6000), -10)], -10, False),  # leaves naked puts
        ([(option(5990), 10), (option(6000), -10)], -1, False),
        ([(option(5990), 20), (option(6000), -10)], -10, True),
        ([(option(6000), -10), (option(5990), 10)], 10, True),  # the short leg goes first
        ([(option(5990), 10), (option(6000, "C"), -10)], -10, True),  # a call is covered by no put
        ([(option(5990, expiry=LATER), 10), (option(6000), -10)], -10, False),  # of a calendar
        ([(SPXW, 1000), (option(6000, "C"), -10)], -1000, False),  # of a covered call
        ([(option(5990), 10)], -11, False),
    ],
)
def test_a_long_option_may_be_sold_where_no_short_one_is_left_naked(
    holdings: list[Holding], units: int, reduces: bool
) -> None:
    assert ask(holdings, units).reduces is reduces


def test_where_it_is_unknown_what_else_is_held_a_long_option_is_not_sold_as_a_reduction() -> None:
    """R0.4: unknown is not nothing. What no option covers, and a short one, need no more to be known."""
    for instrument, held, units, reduces in (
        (option(5990), 10, -10, False),
        (option(5990), -10, 10, True),
        (equity(), 10, -10, True),
    ):
        assert Order.of("default", instrument, Decimal(held), Decimal(units), []).reduces is reduces
