"""One position: FIFO, exact, and the same whatever way its fills are cut."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.position import Aside, Position
from stopline.model.fill import Fill

from ..make import at, equity, fill, fold, option, trade
from .oracle import Naive
from .strategies import fill_lists

one_position = fill_lists(instruments=[option(6000, "P")], strategies=("default",))


def lots(position: Position) -> list[tuple[Decimal, Decimal]]:
    return [(lot.quantity, lot.price) for lot in position.lots]


def test_first_in_first_out() -> None:
    """R1.4, domain case 1: 10@100, 10@110, sell 15@120: FIFO realises 250 and leaves 5@110."""
    position, booked = fold([trade(1, 10, 100), trade(2, 10, 110), trade(3, -15, 120)])
    assert position.realised == 250
    assert lots(position) == [(5, 110)]
    assert position.average_price == 110
    assert position.cost == 550
    assert [realised for _, realised, *_ in booked] == [0, 0, 250]


def test_a_fill_through_zero_closes_and_opens() -> None:
    """Domain case 2: +10@100, sell 15@90 with fee 3: -100 realised (gross), short 5@90."""
    position, booked = fold([trade(1, 10, 100), trade(2, -15, 90, fee="3")])
    assert position.realised == -100
    assert lots(position) == [(-5, 90)]
    assert position.cost == -450
    assert position.fees == 3
    assert position.opened_at == at(2)
    assert booked[1][2] == 3


def test_a_copy_of_a_fill_has_terms_of_its_own() -> None:
    one = trade(1, 10, 100)
    assert one.terms is one.terms
    assert one.model_copy(update={"price": Decimal(101)}).terms[2] == 101
    assert (one.terms[2], one == one.model_copy(), "_terms" in one.text) == (100, True, False)


def test_a_short_seller_keeps_his_openings() -> None:
    """Domain case 7: sell, buy, sell, buy. Opening by selling is no end of anything."""
    position, booked = fold(
        [trade(1, -10, "50.00"), trade(2, 10, "48.00"), trade(3, -10, "49.00"), trade(4, 5, "52.50")]
    )
    assert [realised for _, realised, *_ in booked] == [0, 20, 0, Decimal("-17.50")]
    assert lots(position) == [(-5, 49)]
    assert position.realised == Decimal("2.50")


def test_a_credit_spread_leg_counts_with_its_multiplier() -> None:
    """R1.2, R1.5: sold for 2.00, bought back for 0.50, hundred units each."""
    leg = option(6000, "P")
    position, _ = fold([trade(1, -2, "2.00", instrument=leg), trade(2, 2, "0.50", instrument=leg)])
    assert position.realised == 300
    assert position.is_flat
    assert (position.cost, position.average_price, position.opened_at) == (0, None, None)


def test_an_option_that_expires_worthless_is_closed_at_zero() -> None:
    """B20."""
    leg = option(6000, "P")
    position, _ = fold([trade(1, -2, "2.00", instrument=leg), trade(2, 2, 0, instrument=leg)])
    assert position.realised == 400
    assert position.last_price == 0


def test_a_fee_in_another_currency_is_kept_apart() -> None:
    """R1.5, B53: no rate is ever guessed in the ledger."""
    position, booked = fold([trade(1, 1, 100, fee="0.001", fee_currency="BNB"), trade(2, 1, 100, fee="1")])
    assert position.fees == 1
    assert position.other_fees == {"BNB": Decimal("0.001")}
    assert booked[0][-1] == Aside(other_fee=("BNB", Decimal("0.001")))


def test_the_age_of_a_position_begins_where_it_was_opened_from_flat() -> None:
    """R1.3."""
    position = Position(equity(), "default")
    for number, units, opened in ((1, 10, 1), (2, 5, 1), (3, -15, None), (4, -5, 4), (5, 10, 5)):
        position.apply(trade(number, units, 100))
        assert position.opened_at == (at(opened) if opened else None)


def test_a_fill_that_does_not_come_last_is_not_applied() -> None:
    """I12: the order is execution time, then key; anything else needs the fill log."""
    position, _ = fold([trade(2, 10, 100)])
    for early in (trade(1, 1, 100), trade(2, 1, 100), fill("E-1", executed_at=at(2))):
        with pytest.raises(ValueError, match="fill log"):
            position.apply(early)
    assert position.quantity == 10
    position.apply(fill("E-3", executed_at=at(2)))
    assert position.quantity == 20


def test_the_average_price_is_exact_to_twelve_decimals_for_the_largest_quantities() -> None:
    """B28."""
    position, _ = fold([trade(1, Decimal("123456789012345678.123456789012"), "0.000123456789")])
    assert position.average_price == Decimal("0.000123456789")


@given(one_position)
def test_the_fold_is_what_unit_by_unit_accounting_says(fills: list[Fill]) -> None:
    """I1: against an independent implementation in fractions."""
    position, booked = fold(fills)
    naive = Naive()
    made = [naive.take(f) for f in sorted(fills, key=lambda f: (f.executed_at, f.key))]
    assert [Fraction(realised) for _, realised, *_ in booked] == made
    assert Fraction(position.quantity) == naive.quantity
    assert Fraction(position.cost) == naive.cost
    assert Fraction(position.realised) == naive.realised
    fees = {position.instrument.currency: position.fees, **position.other_fees}
    assert {name: Fraction(fee) for name, fee in fees.items() if fee} == {
        n: f for n, f in naive.fees.items() if f
    }


@given(one_position)
def test_cash_and_cost_less_realised_is_nothing(fills: list[Fill]) -> None:
    """I1: the identity that ties the ledger to the money: cash + cost - realised = 0, exactly."""
    position, _ = fold(fills)
    cash = -sum(f.signed_quantity * f.price * f.instrument.multiplier for f in fills)
    assert cash + position.cost - position.realised == 0


@given(one_position, st.data())
def test_the_order_in_which_fills_are_handed_over_changes_nothing(
    fills: list[Fill], data: st.DataObject
) -> None:
    """I12, F05."""
    shuffled = data.draw(st.permutations(fills))
    assert fold(shuffled) == fold(fills)


@given(one_position, st.data())
def test_splitting_a_fill_changes_nothing_but_lots_and_counts(fills: list[Fill], data: st.DataObject) -> None:
    """Partial fills are one fill each (domain 3.8): the sum of the parts is the whole."""
    index = data.draw(st.integers(0, len(fills) - 1))
    whole = fills[index]
    quarters = int(whole.quantity * 4)
    cut = Decimal(data.draw(st.integers(1, quarters - 1))) / 4 if quarters > 1 else None
    if cut is None:
        return
    parts = [
        whole.model_copy(update={"quantity": cut, "fee": whole.fee}),
        whole.model_copy(
            update={"fill_id": f"{whole.fill_id}-b", "quantity": whole.quantity - cut, "fee": Decimal(0)}
        ),
    ]
    for part in parts:
        part.__dict__.pop("key", None)
        part.__dict__.pop("hash", None)
        part.__dict__.pop("signed_quantity", None)
    one, _ = fold(fills)
    other, _ = fold([*fills[:index], *parts, *fills[index + 1 :]])
    for name in ("quantity", "cost", "realised", "fees", "last_price", "average_price", "opened_at"):
        if name == "last_price" and len({f.executed_at for f in fills}) < len(fills):
            continue
        assert getattr(one, name) == getattr(other, name), name
    assert other.fills == one.fills + 1
    assert sum((lot.quantity for lot in other.lots), Decimal(0)) == one.quantity


@given(one_position)
def test_a_flat_position_has_realised_the_money_that_came_in(fills: list[Fill]) -> None:
    """I1."""
    position, _ = fold(fills)
    last = max(fills, key=lambda f: (f.executed_at, f.key))
    if position.quantity:
        side = "SELL" if position.quantity > 0 else "BUY"
        closing = fill("Z", side, abs(position.quantity), 7, last.executed_at, last.instrument)
        fills = [*fills, closing]
        position.apply(closing)
    assert position.is_flat
    assert position.realised == -sum(f.signed_quantity * f.price * f.instrument.multiplier for f in fills)
    assert (position.cost, len(position.lots), position.opened_at) == (0, 0, None)


@given(one_position)
def test_a_copy_can_be_folded_further_without_touching_the_original(fills: list[Fill]) -> None:
    """The cached book stays as committed when a commit fails."""
    position, _ = fold(fills)
    before = repr(position)
    copied = position.copy()
    assert copied == position
    copied.apply(fill("Z", "BUY", 3, 5, at(10**6), fills[0].instrument, fee="1", fee_currency="JPY"))
    assert repr(position) == before
