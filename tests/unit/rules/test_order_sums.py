"""What is booked of orders beside what their brokers say: what is wrong, what is not, and what cannot be told."""

from __future__ import annotations

import sys
import tracemalloc
from datetime import date, datetime
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.fill import Fill
from stopline.rules.watching.finding import BreakKind
from stopline.rules.watching.order_sums import OrderSum, order_sums

from ..make import at, fill

DAY = 86_400


def session_of(moment: datetime) -> date:
    return moment.date()


def done(
    id_: str, units: int, second: float, order: str | None = "O-1", told: object = None, **more: Any
) -> Fill:
    said = {} if told is None else {"order_filled": str(told)}
    return fill(id_, more.pop("side", "BUY"), units, 100, at(second), order_id=order, **said, **more)


def wrong(*fills: Fill, began: date | None = None) -> dict[str, BreakKind]:
    return {one.order: one.kind for one in order_sums(fills, session_of, None, began) if one.kind}


def one(*fills: Fill) -> OrderSum:
    [found] = [found for found in order_sums(fills, session_of) if found.order == "O-1"]
    return found


def test_two_corrections_with_the_times_of_their_trades_add_up() -> None:
    """TWS sends `.02` with the time of the execution; of one moment both the old and the new number were said."""
    fills = (
        done("E-1", 10, 1, told=10),
        done("E-2", 20, 2, told=28),
        done("E-8", 8, 1, told=8, kind="CORRECT", ref="E-1"),
        done("E-9", 15, 2, told=23, kind="CORRECT", ref="E-2"),
    )
    assert wrong(*fills) == {}


@pytest.mark.parametrize("told", [25, 17, 27, 35])
def test_a_bust_may_be_counted_and_a_correction_not_yet(told: int) -> None:
    fills = (
        done("E-1", 10, 1, told=10),
        done("E-2", 20, 2, told=30),
        done("E-8", 10, 3, kind="BUST", ref="E-1"),
        done("E-9", 12, 3.5, kind="CORRECT", ref="E-2"),
        done("E-4", 5, 4, told=told),
    )
    assert wrong(*fills) == {}


def test_what_no_way_of_counting_amendments_gives_is_wrong() -> None:
    fills = (
        done("E-1", 10, 1, told=10),
        done("E-8", 10, 2, kind="BUST", ref="E-1"),
        done("E-3", 5, 3, told=40),
    )
    assert wrong(*fills) == {"O-1": BreakKind.ORDER}
    assert (one(*fills).booked, one(*fills).told) == (15, 40), "of all that may be booked what is nearest"


def test_the_old_number_of_a_replaced_order_may_fill_once_more() -> None:
    fills = (
        done("A-1", 3, 1, "A", 3),
        done("E-1", 2, 2, told=5),
        done("A-2", 2, 2.5, "A", 5),
        done("E-2", 5, 3, told=12),
    )
    assert wrong(*fills) == {}


def test_what_was_filled_before_and_cannot_be_told_from_a_replaced_order_blocks_nothing() -> None:
    """A carries 3 on to B, which says nothing, and that to the last one; another order came between."""
    fills = (
        done("X-1", 3, -50, "A", 3),
        done("X-2", 5, -40, "Z", 5),
        done("X-3", 4, -30, "B"),
        done("E-1", 2, 2, told=9),
    )
    assert wrong(*fills) == {"O-1": BreakKind.ORDER_START}


@pytest.mark.parametrize(
    "before",
    [
        (done("A-1", 6, 1, "A", 6), done("A-8", 3, 1.5, "A", kind="CORRECT", ref="A-1")),
        (done("A-1", 3, 1, "A", 3), done("A-2", 4, 1.5, "A", 7), done("A-8", 4, 2, "A", kind="BUST", ref="A-2")),
        (done("A-1", 9, -9, "A", 9), done("A-8", 7, -8, "A", 0, kind="BUST", ref="A-1"), done("A-2", 3, 1, "A", 3)),
        (done("A-1", 3, 1, "A", 3), done("Z-1", 5, 2, "Z", 5)),
        (done("A-1", 1, -DAY, "A", 1), done("Z-1", 5, -9, "Z", 5), done("A-2", 2, 2, "A", 3)),
    ],
    ids=["corrected", "busted", "told anew", "between two others", "of days"],
)  # fmt: skip
def test_an_order_that_replaces_another_one_goes_on_from_any_way_of_counting_that(
    before: tuple[Fill, ...],
) -> None:
    """Three were filled under the old number, in the end."""
    assert wrong(*before, done("E-1", 2, 9, told=5)) == {}


def test_an_order_of_which_nothing_was_executed_since_the_last_one_began_explains_nothing() -> None:
    """Any may be replaced, but of all that ever were one has filled what was lost."""
    before = done("A-1", 3, -DAY, "A", 3), done("Z-1", 5, 2, "Z", 5)
    assert wrong(*before, done("E-1", 2, 9, told=5)) == {"O-1": BreakKind.ORDER_START}


def test_orders_before_hide_no_fill_that_was_lost() -> None:
    """Three of ten orders of one unit were as many as the three that were lost."""
    before = [done(f"X-{n}", 1, n - 900, f"X{n}", 1) for n in range(10)]
    assert wrong(*before, done("E-2", 4, 2, told=7), done("E-3", 3, 3, told=10)) == {
        "O-1": BreakKind.ORDER_START
    }


def test_what_is_lost_of_the_only_order_is_lost() -> None:
    sold = done("X-1", 3, -50, "A", 3, side="SELL")
    assert wrong(sold, done("E-2", 4, 2, told=7)) == {"O-1": BreakKind.ORDER}


def test_what_is_lost_in_the_middle_is_lost_whatever_was_before() -> None:
    first = done("X-1", 10, -50, "A", 10)
    assert wrong(first, done("E-1", 10, 1, told=10), done("E-3", 10, 3, told=30)) == {"O-1": BreakKind.ORDER}


def test_an_order_of_days_that_began_before_the_account_did_is_right() -> None:
    fills = done("E-1", 10, 1, told=30), done("E-2", 5, DAY, told=35)
    assert wrong(*fills, began=at(1).date()) == {}
    assert wrong(*fills, began=at(-DAY).date()) == {"O-1": BreakKind.ORDER}


def test_a_number_that_is_given_again_every_day_is_looked_at_day_by_day() -> None:
    fills = [done(f"E-{n}-{m}", 5, n * DAY + m, told=5 * m) for n in range(4) for m in (1, 2)]
    assert wrong(*fills) == {}
    assert wrong(*fills[:-2], *fills[-1:]) == {"O-1": BreakKind.ORDER}
    assert wrong(*fills, done("E-9", 5, 3 * DAY + 9, told=25)) == {"O-1": BreakKind.ORDER}


def test_a_number_that_is_given_again_and_lacks_its_first_fill_is_no_part_of_the_order_before() -> None:
    """It said that 30 were filled and 50 booked."""
    before = done("E-1", 30, -DAY, told=30)
    lost, came = done("E-3", 20, 3, told=30), done("E-2", 10, 2, told=10)
    [whole, found] = order_sums([before, lost], session_of)
    assert (whole.kind, found.kind) == (None, BreakKind.ORDER)
    assert (found.booked, found.told, found.session) == (20, 30, at(0).date())
    by_hand = done("adjust-1", 10, 90, kind="ADJUST")
    assert wrong(before, lost, by_hand) == {}
    assert wrong(before, lost, came) == {}
    assert wrong(before, lost, by_hand, came) == {"O-1": BreakKind.ORDER}


def test_what_is_there_twice_in_an_order_of_several_days_is_found() -> None:
    fills = done("E-1", 10, -DAY, told=10), done("E-2", 10, 1, told=20), done("E-2b", 10, 1, told=20)
    assert wrong(*fills) == {"O-1": BreakKind.ORDER}
    late = done("E-2", 10, 1, told=20), done("adjust-1", 10, 90, kind="ADJUST"), done("E-3", 5, 9, told=25)
    assert wrong(fills[0], *late) == {"O-1": BreakKind.ORDER}


def test_an_adjustment_is_of_the_order_of_its_number_that_lacks_it() -> None:
    lost = done("E-1", 10, -DAY, told=10), done("E-3", 10, 3 - DAY, told=30)
    next_, by_hand = done("F-1", 5, 1, told=5), done("adjust-1", 10, 90, kind="ADJUST")
    assert wrong(*lost, next_) == {"O-1": BreakKind.ORDER}
    assert wrong(*lost, next_, by_hand) == {}
    assert wrong(next_, by_hand) == {"O-1": BreakKind.ORDER}
    early = done("adjust-1", 10, 4 - DAY, kind="ADJUST")
    assert wrong(*lost, early, done("F-2", 5, 2, told=10)) == {"O-1": BreakKind.ORDER}
    assert wrong(*lost, early, done("F-2", 5, 2, told=5)) == {}


def test_executions_of_one_second_are_in_no_order() -> None:
    fills = done("E-2", 10, 1, told=10), done("E-1", 10, 0, told=20)
    assert wrong(*fills) == {}, "the venues' clocks are not the broker's"


def test_an_adjustment_counts_for_the_order_that_it_names() -> None:
    lost = done("E-2", 10, 2, told=20)
    stands = done("adjust-1", 10, 90, kind="ADJUST")
    assert wrong(lost, stands) == {}
    assert wrong(lost, stands, done("E-3", 1, 95, told=21)) == {}, "the order goes on"
    assert wrong(lost, done("adjust-1", 10, 90, None, kind="ADJUST")) == {"O-1": BreakKind.ORDER}
    assert wrong(lost, done("adjust-1", 4, 90, kind="ADJUST")) == {"O-1": BreakKind.ORDER}
    assert wrong(lost, done("adjust-1", 0, 90, kind="ADJUST", fee="3")) == {"O-1": BreakKind.ORDER}
    undone = done("undo-1", 10, 99, kind="BUST", ref="adjust-1")
    assert wrong(lost, stands, undone) == {"O-1": BreakKind.ORDER}
    came = done("E-1", 10, 1, told=10)
    assert wrong(lost, stands, came) == {"O-1": BreakKind.ORDER}, "it is there twice now"
    assert wrong(lost, stands, came, undone) == {}
    twice = done("E-1", 10, 1, told=10), done("E-1b", 10, 1, told=10)
    assert wrong(*twice, done("adjust-1", 10, 90, kind="ADJUST", side="SELL")) == {}


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.booleans(), st.sampled_from(["", "BUST", "CORRECT"])), min_size=1
    ),
    st.data(),
)
def test_an_order_of_which_all_fills_are_there_is_never_wrong(
    executed: list[tuple[int, bool, str]], data: st.DataObject
) -> None:
    """Law: however its broker counts amendments, whichever executions say nothing, and in whatever order they came."""
    fills, filled = [], 0
    for number, (units, says, amended) in enumerate(executed):
        filled += units
        fills.append(done(f"E-{number}", units, number, told=filled if says else None))
        if amended:
            counted = units if amended == "BUST" else units - 1
            filled -= counted if data.draw(st.booleans()) else 0
            more = {
                "kind": amended,
                "ref": f"E-{number}",
                "told": filled if data.draw(st.booleans()) else None,
            }
            fills.append(done(f"A-{number}", max(units - counted, 1), number + 0.5, **more))
    assert wrong(*data.draw(st.permutations(fills))) == {}


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.data())
def test_one_fill_that_is_lost_in_an_order_is_found(units: list[int], data: st.DataObject) -> None:
    fills = [done(f"E-{n}", one, n, told=sum(units[: n + 1])) for n, one in enumerate(units)]
    lost = data.draw(st.integers(0, len(units) - 2))
    assert wrong(*fills[:lost], *fills[lost + 1 :]) == {"O-1": BreakKind.ORDER}


def calls(count: int) -> int:
    """Return how many functions are called to add up so many orders, of which each third does not add up."""
    fills = []
    for n in range(count):
        off, day = 5 if n % 3 == 0 else 0, "20261118"
        fills += [done(f"T{x}:{day}:{n}", 1, 4 * n + x, f"O{n}", x + off) for x in (1, 2)]
        bust = {"kind": "BUST", "ref": f"T1:{day}:{n}", "ref_day": "assumed"}
        fills.append(done(f"B:{day}:{n}", 1, 4 * n + 3, f"O{n}", **bust))
    for one in fills:
        assert one.key
    made = 0

    def count_call(frame: FrameType, event: str, arg: object) -> None:
        nonlocal made
        made += event == "call"

    sys.setprofile(count_call)
    try:
        found = order_sums(fills, session_of)
    finally:
        sys.setprofile(None)
    assert len([one for one in found if one.kind]) > count // 4
    return made


def test_twice_the_orders_cost_twice_the_work() -> None:
    """R8: four thousand orders, each tenth of which did not add up, took 26 s of a sweep."""
    assert calls(200) < 2.2 * calls(100)


def memory(count: int) -> int:
    """Return the most bytes held to add up so many orders, none of which adds up, each of another size."""
    fills = [done(f"E-{n}", 1, n, f"O{n}", 7 * n + 2) for n in range(1, count + 1)]
    for one in fills:
        assert one.key
    tracemalloc.start()
    try:
        found = order_sums(fills, session_of)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len([one for one in found if one.kind]) == count
    return most


def test_the_memory_for_orders_that_do_not_add_up_grows_by_their_number() -> None:
    """Of each was kept what all before it may have filled: 85 MB at two thousand."""
    assert memory(600) < 7 * memory(150), "four times as many; by the square it was 13 times"


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3)), min_size=2, max_size=8))
def test_an_order_goes_on_from_any_that_was_executed_since_the_last_one_began(
    orders: list[tuple[int, int, int]],
) -> None:
    """Against all sizes looked through one by one; `more`: what was filled before, `days`: between an order and the next."""
    fills, opened, day = list[Fill](), list[int](), 0
    for n, (units, more, days) in enumerate(orders):
        day += days
        opened.append(day)
        fills.append(done(f"E-{n}", units, day * DAY + n, f"O{n}", units + more))
    expected = {}
    for n, (_, more, _) in enumerate(orders):
        carried = {sum(orders[m][:2]) for m in range(n) if opened[m] >= opened[n - 1]}
        if more and more not in carried:
            expected[f"O{n}"] = BreakKind.ORDER_START if n else BreakKind.ORDER
    assert wrong(*fills) == expected
