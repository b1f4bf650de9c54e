"""Laws of the check before an order: the largest size passes and one more does not, and reducing is never refused."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.control import Effective, TradingState
from stopline.rules.orders.pretrade import check, largest, reasons_against

from ..make import equity, option, trade
from .pretrade_orders import buy, desk, leg, order

sizes = st.integers(1, 40)


@settings(max_examples=40)
@given(st.integers(-120, 120), st.sampled_from(["BUY", "SELL"]), sizes, sizes, st.integers(1, 30))
def test_the_largest_size_passes_and_one_more_does_not(
    held: int, side: str, quantity: int, lot: int, distance: int
) -> None:
    """R2.6, R3: by evaluating; and what passes at a size passes at every smaller one."""
    fills = [trade(1, held, "100")] if held else []
    judged = desk(fills)
    stop = 100 - distance - 2 if side == "BUY" else 100 + distance + 2
    signed = 1 if side == "BUY" else -1
    asked = order(leg(equity(), signed), quantity=quantity * lot, lot=str(lot), stop=str(stop))
    most = largest(asked, judged)
    assert most % lot == 0
    assert reasons_against(asked.sized(most + lot), judged)
    if most:
        for lots in {1, int(most) // lot // 2, int(most) // lot} - {0}:
            assert not reasons_against(asked.sized(Decimal(lots * lot)), judged)
    assert check(asked, judged).approved == (asked.quantity <= most)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 8), min_size=4, max_size=4),
    st.sampled_from([1, -1]),
    st.integers(-6, 6),
    st.integers(1, 3),
)
def test_the_largest_condor_passes_and_one_more_does_not(
    gaps: list[int], way: int, held: int, ratio: int
) -> None:
    """R2.6, domain case 2: unequal wings and ratios, beside what is held of one leg, by evaluating."""
    strikes = [5800 + 5 * sum(gaps[: n + 1]) for n in range(4)]
    contracts = [option(k, right) for k, right in zip(strikes, "PPCC", strict=True)]
    marks = {c.symbol: price for c, price in zip(contracts, ("1", "2.5", "2.2", "0.8"), strict=True)}
    judged = desk([trade(1, held, "2", instrument=contracts[1])] if held else [], marks, capital="400000")
    signs = (way * ratio, -way, -way, way)
    asked = order(*(leg(c, n) for c, n in zip(contracts, signs, strict=True)))
    most = largest(asked, judged)
    assert reasons_against(asked.sized(most + 1), judged)
    for size in {1, int(most) // 2, int(most)} - {0} if most else ():
        assert not reasons_against(asked.sized(Decimal(size)), judged)


@settings(max_examples=40)
@given(
    st.integers(1, 50),
    st.booleans(),
    st.data(),
    st.sampled_from(list(TradingState)),
    st.booleans(),
    st.booleans(),
)
def test_an_order_that_truly_reduces_is_never_refused(
    held: int, short: bool, data: st.DataObject, state: TradingState, blind: bool, blocked: bool
) -> None:
    """R2.6: whatever the state, the data, the limits, the losses."""
    units = data.draw(st.integers(1, held))
    sign = -1 if short else 1
    symbol = "IWM" if blind else "SPY"
    fills = [
        trade(1, 100, "100"),
        trade(2, -100, "60"),
        trade(3, sign * held, "20", instrument=equity(symbol)),
    ]
    judged = desk(
        fills, state=Effective(state, 7, Decimal(0), False), blocked={symbol: "?"} if blocked else {}
    )
    closing = order(leg(equity(symbol), -sign), quantity=units, reduce_only=True, epoch=1)
    found = check(closing, judged)
    assert found.approved
    assert found.largest == held


@settings(max_examples=25)
@given(sizes, sizes, sizes)
def test_more_working_orders_never_let_more_through(one: int, other: int, held: int) -> None:
    """R2.6."""

    def most(working: int) -> Decimal:
        waiting = {"instrument": leg(equity())["instrument"], "side": "BUY", "quantity": str(working)}
        return largest(buy(1, working=[waiting]), desk([trade(1, held, "100")]))

    low, high = sorted((one, other))
    assert most(high) <= most(low)
