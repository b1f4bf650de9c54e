"""Busts and corrections that give the number of an execution and not its day, where numbers begin anew each day (FIX)."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.amend import check_day, on_its_day, target_key
from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.model.errors import Rejected
from stopline.model.fill import Fill

from ..make import at, equity, fill
from .test_amend import booked, numbers

DAY = 86400


def numbered(day: int, number: str = "1", **more: Any) -> Fill:
    """Return a fill as FIX tells it, `day` days from the first."""
    told = {"order_id": "O", "executed_at": at(day * DAY), **more}
    return fill(f"SPY:202611{18 + day}:{number}", **told)


def untold(kind: str, day: int, number: str = "1", *, id_: str = "9", **more: Any) -> Fill:
    """Return a bust or correction of that number, reported on a day, that does not say of which day its fill is."""
    told = {"order_id": "O", "executed_at": at(day * DAY + 9), "ref_day": "assumed", **more}
    return fill(f"SPY:202611{18 + day}:{id_}", kind=kind, ref=f"SPY:202611{18 + day}:{number}", **told)


def test_it_is_about_the_one_fill_of_its_number_order_and_side_until_then() -> None:
    """Domain 3.7: ExecIDs are unique on a day only."""
    cancel = untold("BUST", 4)
    fills = [numbered(0), numbered(1, order_id="P"), numbered(2, side="SELL"), numbered(5)]
    fills += [fill("QQQ:20261121:1", order_id="O"), numbered(3, broker="other"), fill("X", order_id="O")]
    assert check_day(cancel, fills).ref == on_its_day(cancel, fills).ref == "SPY:20261118:1"
    assert check_day(cancel, [numbered(4)]).ref == "SPY:20261122:1"
    for more in (numbered(-1), numbered(4)):
        with pytest.raises(Rejected, match="may be about any of.*tag 75") as problem:
            check_day(cancel, [*fills, more])
        assert problem.value.reason == "AMBIGUOUS_REFERENCE"
        assert on_its_day(cancel, [*fills, more]).ref == "SPY:?:1"
    named = fill("SPY:20261122:9", kind="BUST", ref="SPY:20261122:1", order_id="O", executed_at=at(5 * DAY))
    for as_it_is, some in ((named, fills), (cancel, [])):
        assert check_day(as_it_is, some) is as_it_is


def test_a_report_without_a_fraction_of_the_second_is_about_a_fill_with_one() -> None:
    assert (
        check_day(untold("BUST", 1, executed_at=at(3)), [numbered(0, executed_at=at(3.9))]).ref
        == "SPY:20261118:1"
    )


@pytest.mark.parametrize("kind", ["BUST", "CORRECT"])
def test_one_that_comes_before_its_fill_of_an_earlier_day_finds_it(kind: str) -> None:
    """Domain 3.8, 4b case 11: order of arrival never matters."""
    events = [numbered(0, quantity="5"), untold(kind, 1, quantity="3"), numbered(1, "2", quantity="7")]
    ends = [booked([[event] for event in some]) for some in permutations(events)]
    for end in ends:
        assert numbers(end) == numbers(ends[0])
        assert end.net_quantity("SPY") == (7 if kind == "BUST" else 10)
        assert not end.held


def test_a_bust_of_a_correction_finds_it_where_neither_says_a_day() -> None:
    events = [numbered(0), untold("CORRECT", 1, id_="2", quantity="3"), untold("BUST", 2, "2")]
    for some in permutations(events):
        end = booked([[event] for event in some])
        assert (end.net_quantity("SPY"), dict(end.held)) == (0, {})


def test_where_two_days_have_its_number_it_changes_nothing_and_waits_whatever_came_first() -> None:
    """The second may come when the first has been cancelled already: that was a guess, so it is taken back."""
    events = [
        numbered(0, quantity="5"),
        numbered(0, "2", quantity="1"),
        numbered(1, quantity="7"),
        untold("BUST", 1),
    ]
    ends = [booked([[event] for event in some]) for some in permutations(events)]
    for end in ends:
        assert numbers(end) == numbers(ends[0])
        assert end.net_quantity("SPY") == 13
        assert [a.fill_id for waiting in end.held.values() for a in waiting] == [events[3].fill_id]


def test_a_fill_of_its_number_that_is_executed_later_takes_nothing_back() -> None:
    """A new day numbers anew, and the cancel of yesterday's stands."""
    end = booked([[numbered(0)], [untold("BUST", 1)], [numbered(1, quantity="7", executed_at=at(DAY + 60))]])
    assert (end.net_quantity("SPY"), dict(end.held)) == (7, {})


def test_one_that_an_older_version_held_by_a_day_waits_as_it_should_from_the_next_commit_on() -> None:
    waits = untold("BUST", 1)
    old = by_day(booked([[waits]]), waits)
    end = booked([[fill("X", instrument=equity("QQQ"))]], book=old, known=[waits])
    assert [*end.held] == ["paper:demo:SPY=3A=3F=3A1"]
    assert booked([[numbered(0)]], book=end, known=[waits]).net_quantity("SPY") == 0


@pytest.mark.parametrize("kind", ["BUST", "CORRECT"])
def test_one_that_an_older_version_left_beside_its_fill_is_applied_by_the_next_commit(kind: str) -> None:
    """R8.6: that version looked on the day of the report; the fill was of the day before, and came later."""
    waits, late = untold(kind, 1, quantity="3"), numbered(0, quantity="5")
    left = booked([[late]])
    stuck = replace(
        by_day(booked([[waits]]), waits), positions=left.positions, days=left.days, totals=left.totals
    )
    stuck = replace(stuck, strategies=left.strategies, legs=left.legs, fills=2)
    assert stuck.net_quantity("SPY") == 5
    other = fill("X", instrument=equity("QQQ"))
    end, straight = booked([[other]], book=stuck, known=[waits, late]), booked([[waits, late, other]])
    assert numbers(end) == numbers(straight)
    assert end.net_quantity("SPY") == (0 if kind == "BUST" else 3)
    assert not end.held
    again = booked([[fill("Y", instrument=equity("QQQ"))]], book=end, known=[waits, late, other])
    assert again.net_quantity("SPY") == end.net_quantity("SPY"), "once"


def by_day(book: Book, waits: Fill) -> Book:
    """Return a book as an older version wrote it: what says no day waits under the day of its report."""
    state = orjson.loads(encode_book(book))
    state["held"][0][0] = target_key(waits)
    return decode_book(orjson.dumps(state).decode())


@st.composite
def stories(draw: st.DrawFn) -> list[Fill]:
    """Draw fills of few numbers over three days, and amendments of them; some say of which day."""
    events = {}
    for number in range(draw(st.integers(2, 7))):
        day, which = draw(st.integers(0, 2)), str(draw(st.integers(1, 2)))
        terms = {"quantity": str(number + 1), "side": draw(st.sampled_from(["BUY", "SELL"]))}
        kind = draw(st.sampled_from(["", "", "BUST", "CORRECT", "CORRECT"]))
        if kind:
            more = draw(st.sampled_from([{}, {"ref_day": None}]))
            made = untold(kind, day, which, id_=str(number + 3), **terms)
            if more:
                made = Fill.model_validate({**made.model_dump(exclude={"ref_day"}), "order_id": "O"})
        else:
            made = numbered(day, which, executed_at=at(day * DAY + number * 3), **terms)
        events[made.key] = made
    return [*events.values()]


@settings(max_examples=60)
@given(stories(), st.data())
def test_any_order_of_arrival_gives_the_same_book(events: list[Fill], data: st.DataObject) -> None:
    """R1.4."""
    arrived = data.draw(st.permutations(events))
    one, other = booked([events]), booked([[event] for event in arrived])
    assert numbers(one) == numbers(other)
    assert {k: {f.key for f in v} for k, v in one.held.items()} == {
        k: {f.key for f in v} for k, v in other.held.items()
    }
