"""Marks: the newest price holds, and one bad tick moves nothing."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.prices import PriceBatch, Quote
from stopline.service.prices.marks import COLLAR, KEPT, Mark, Prices, PricesCodec, merged

from ..make import NOON, at
from .world import World

EMPTY = Prices("feed", {}, {})
OPTION = "SPXW261118P06000000"


def batch(seconds: float, *quotes: tuple[str, float], source: str = "feed") -> PriceBatch:
    return PriceBatch(source, at(seconds), {symbol: Quote(last) for symbol, last in quotes}, ())


def after(*batches: PriceBatch, start: Prices = EMPTY) -> tuple[Prices, list[tuple[str, str]]]:
    prices, held = start, []
    for one in batches:
        prices, held = merged(prices, one)
    return prices, held


def last(prices: Prices, symbol: str = "SPY") -> float:
    return prices.marks[symbol].quote.last


def test_a_newer_price_replaces_an_older_one_and_never_the_other_way() -> None:
    """F33, B57."""
    assert last(after(batch(0, ("SPY", 100)), batch(1, ("SPY", 101)))[0]) == 101
    assert last(after(batch(1, ("SPY", 101)), batch(0, ("SPY", 100)))[0]) == 101


def test_of_two_prices_of_one_moment_the_first_stands() -> None:
    """B57."""
    assert last(after(batch(1, ("SPY", 100)), batch(1, ("SPY", 101)))[0]) == 100


@pytest.mark.parametrize("spike", [100_000.0, 301.0, 33.0, 0.0, -100.0, math.nan], ids=str)
def test_a_price_far_off_the_last_one_is_held_back_and_told(spike: float) -> None:
    """F34: x1000, x3, a third, zero, negative, none: keep the last, wait for a second reading."""
    prices, held = after(batch(0, ("SPY", 100)), batch(1, ("SPY", spike)))
    assert last(prices) == 100
    assert prices.marks["SPY"].as_of == NOON  # it ages, too: the bad tick does not keep it fresh
    [(symbol, why)] = held
    assert symbol == "SPY"
    assert "times off" in why


@pytest.mark.parametrize("price", [300.0, 34.0, 100.0])
def test_a_price_within_the_collar_holds_at_once(price: float) -> None:
    """F34."""
    prices, held = after(batch(0, ("SPY", 100)), batch(1, ("SPY", price)))
    assert (last(prices), held) == (price, [])


def test_a_second_reading_that_agrees_confirms_the_jump() -> None:
    """F34: a real gap holds with the second price; a limit sees it a tick later."""
    prices, held = after(batch(0, ("SPY", 100)), batch(1, ("SPY", 20)), batch(2, ("SPY", 21)))
    assert (last(prices), held, dict(prices.suspects)) == (21, [], {})


def test_a_second_reading_that_does_not_agree_is_a_new_suspect() -> None:
    """F34."""
    prices, held = after(batch(0, ("SPY", 100)), batch(1, ("SPY", 20)), batch(2, ("SPY", 100_000)))
    assert last(prices) == 100
    assert len(held) == 1
    assert prices.suspects["SPY"].quote.last == 100_000


def test_a_good_price_ends_the_suspicion() -> None:
    """F34: two bad ticks with a good one between them never confirm each other."""
    prices, _ = after(
        batch(0, ("SPY", 100)), batch(1, ("SPY", 20)), batch(2, ("SPY", 101)), batch(3, ("SPY", 20))
    )
    assert last(prices) == 101


def test_the_same_bad_tick_delivered_twice_does_not_confirm_itself() -> None:
    """F01, F34."""
    prices, _ = after(batch(0, ("SPY", 100)), batch(1, ("SPY", 20)), batch(1, ("SPY", 20)))
    assert last(prices) == 100
    assert prices.suspects["SPY"].as_of == at(1)


def test_options_may_jump() -> None:
    """F34: 0.05 becomes 4.00 in minutes on the day of expiry."""
    prices, held = after(batch(0, (OPTION, 0.05)), batch(1, (OPTION, 4.0)), batch(2, (OPTION, 0.0)))
    assert (last(prices, OPTION), held) == (0.0, [])


def test_a_bad_tick_does_not_hold_back_its_neighbours() -> None:
    """B56, F34."""
    prices, held = after(batch(0, ("SPY", 100), ("QQQ", 50)), batch(1, ("SPY", 1e6), ("QQQ", 51)))
    assert (last(prices, "QQQ"), last(prices)) == (51, 100)
    assert [symbol for symbol, _ in held] == ["SPY"]


def test_a_price_that_nobody_has_renewed_for_days_is_dropped() -> None:
    """F50."""
    prices, _ = after(batch(0, ("OLD", 100)), batch(KEPT.total_seconds() + 1, ("SPY", 100)))
    assert set(prices.marks) == {"SPY"}


def test_a_feed_of_more_symbols_than_fit_loses_the_oldest_prices_and_takes_every_batch() -> None:
    """F50, F58: a whole option chain in turns, then all of it jumps: no batch may fill the document for days."""
    world = World()
    table = world.instance()[0].marks
    names = [f"X{number:031}" for number in range(10_000)]  # as long as a symbol may be

    def stored() -> Prices:
        return PricesCodec().decode(world.document("marks", "feed") or {})

    for turn in range(3):
        some = names[:5_000] if turn == 0 else names[5_000:]
        price = 1234.56789012 if turn < 2 else 98765.4321098
        quotes = dict.fromkeys(some, Quote(price, price, price, 0.123456789))
        table.merge(PriceBatch("feed", at(turn - 9), quotes, ()))
        if turn < 2:
            assert quotes.items() <= {symbol: mark.quote for symbol, mark in stored().marks.items()}.items()
    assert len(stored().marks) + len(stored().suspects) < 10_000, "the oldest are gone"
    assert set(names[5_000:]) <= stored().marks.keys()
    assert len(stored().suspects) > 1_500
    table.merge(batch(0, ("SPY", 100)))
    assert stored().marks["SPY"].quote.last == 100


@pytest.mark.parametrize("first", [0.0, -1.0, math.nan], ids=str)
def test_two_bad_ticks_that_do_not_agree_confirm_nothing(first: float) -> None:
    """F34: 100, then nothing, then 100,000: the last good price holds."""
    prices, held = after(batch(0, ("SPY", 100)), batch(1, ("SPY", first)), batch(2, ("SPY", 100_000)))
    assert last(prices) == 100
    assert len(held) == 1


wild = st.sampled_from([1.0, 40.0, 90.0, 100.0, 110.0, 5000.0, 20_000.0])


@given(st.lists(st.tuples(st.integers(0, 20), wild), max_size=20))
def test_no_single_reading_ever_moves_a_mark_by_more_than_the_collar(
    readings: list[tuple[int, float]],
) -> None:
    """F34, F33: for any ticks in any order; time never runs backwards, and a jump had two readings."""
    prices = EMPTY
    seen: list[float] = []
    for seconds, price in readings:
        before = prices.marks.get("SPY")
        prices, _ = merged(prices, batch(seconds, ("SPY", price)))
        now = prices.marks["SPY"]
        if before is not None:
            assert now.as_of >= before.as_of
            if not _near(before.quote.last, now.quote.last):
                assert any(_near(earlier, now.quote.last) for earlier in seen)
        seen.append(price)


def _near(one: float, other: float) -> bool:
    return one / COLLAR <= other <= one * COLLAR


def test_marks_read_back_as_they_were_written() -> None:
    prices = Prices(
        "feed",
        {
            "SPY": Mark(Quote(100.25, 100.2, 100.3, 0.15), at(0.123456)),
            "QQQ": Mark(Quote(math.nan, 1.0, 2.0), NOON),
        },
        {"SPY": Mark(Quote(20.0), at(1))},
    )
    codec = PricesCodec()
    assert codec.decode(codec.encode(prices)) == prices


@given(st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1)))
def test_the_moment_of_a_mark_survives_to_the_microsecond(naive: datetime) -> None:
    """F33: a mark that comes back newer than it was would refuse its own successor."""
    moment = NOON + (naive - datetime(2026, 1, 1))
    prices = Prices("feed", {"SPY": Mark(Quote(1.0), moment)}, {})
    codec = PricesCodec()
    assert codec.decode(codec.encode(prices)).marks["SPY"].as_of == moment


# --- the table ---


def test_prices_ahead_of_the_clock_are_refused() -> None:
    """B34, F35: else a wrong clock at the feed would freeze the price."""
    app, _ = World().instance()
    app.desk.marks.merge(batch(60, ("SPY", 100)))
    with pytest.raises(Rejected) as refused:
        app.desk.marks.merge(batch(60.001, ("SPY", 100)))
    assert refused.value.reason == "IN_THE_FUTURE"


def test_instances_see_each_other_s_prices() -> None:
    """F14, I12."""
    world = World()
    one, other = world.instance()[0].desk.marks, world.instance()[0].desk.marks
    one.merge(batch(0, ("SPY", 100), ("QQQ", 50)))
    other.merge(batch(1, ("SPY", 101)))
    one.refresh()
    other.refresh()
    assert {s: m.quote.last for s, m in one.marks.items()} == {"SPY": 101, "QQQ": 50}
    assert one.marks == other.marks


def test_of_two_sources_the_newer_price_holds() -> None:
    """F33."""
    table = World().instance()[0].desk.marks
    table.merge(batch(1, ("SPY", 101), source="fast"))
    table.merge(batch(0, ("SPY", 100), source="slow"))
    assert table.marks["SPY"].quote.last == 101


def test_the_same_batch_again_writes_nothing() -> None:
    """F01."""
    world = World()
    app, store = world.instance()
    app.desk.marks.merge(batch(0, ("SPY", 100)))
    store.commits = 0
    app.desk.marks.merge(batch(0, ("SPY", 100)))
    assert store.commits == 0


def test_a_suspect_waits_in_the_store_for_the_second_reading_at_another_instance() -> None:
    """F34."""
    world = World()
    for seconds, price in ((0, 100.0), (1, 20.0)):
        world.instance()[0].desk.marks.merge(batch(seconds, ("SPY", price)))
    table = world.instance()[0].desk.marks
    table.merge(batch(2, ("SPY", 20.5)))
    assert table.marks["SPY"].quote.last == 20.5
    assert timedelta(0) < table.marks["SPY"].as_of - NOON


def test_who_goes_through_the_prices_is_not_disturbed_by_new_ones() -> None:
    """A kill closes several accounts at once, and each of them looks at the prices."""
    world = World()
    marks = world.instance()[0].marks
    marks.merge(batch(-2, ("SPY", 100), ("QQQ", 400)))
    seen = iter(marks.marks.items())
    next(seen)
    marks.merge(batch(-1, ("SPY", 101), ("IWM", 200)))
    assert [symbol for symbol, _ in seen] == ["QQQ"]
    assert set(marks.marks) == set(marks.sources) == {"SPY", "QQQ", "IWM"}
