"""Losses in a row, counted by the ledger's own trades: whenever somebody looks, and however they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.fill import Fill
from stopline.rules.limits.registry import Level
from stopline.rules.limits.round_trips import MOST
from stopline.rules.limits.streak import Streak, streak_after
from stopline.service.evaluation.track_state import decode_track, encode_track

from ..make import NOON, at, equity, fill, option, trade
from .test_track import Desk, round_trip


def losses(desk: Desk, second: float) -> int | None:
    desk.value(at(second), "100")
    assert desk.track.streak is not None
    return desk.track.streak.losses


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), max_size=4), max_size=5))
def test_losses_in_a_row_are_counted_trade_by_trade_however_many_end_between_two_valuations(
    messages: list[list[int]],
) -> None:
    """R2.4: a winner ends the row, a trade that made nothing does not."""
    desk, expected, number = Desk(), 0, 0
    for results in messages:
        trips = []
        for made in results:
            trips += round_trip(number, made)
            number += 1
            expected = expected + 1 if made < 0 else 0 if made > 0 else expected
        if trips:
            desk.book_fills(*trips)
        assert losses(desk, 10 * number) == expected
        assert losses(desk, 10 * number + 1) == expected, "looking again counts nothing again"


def test_a_flip_ends_a_trade() -> None:
    """R2.4: the position is never flat in between."""
    desk = Desk()
    desk.book_fills(trade(0, 10, 100), trade(1, -20, 99))
    assert losses(desk, 2) == 1
    desk.book_fills(trade(3, 20, 100))
    assert losses(desk, 4) == 2


def test_a_trade_that_ends_while_another_of_its_strategy_goes_on_counts() -> None:
    """R2.4: two spreads overlap all day, and the underlying is never flat."""
    desk = Desk()
    desk.book_fills(trade(0, 10, 100, group_id="A"), trade(10, 10, 100, group_id="B"))
    desk.book_fills(trade(20, -10, 99, group_id="A"))
    assert losses(desk, 21) == 1
    desk.book_fills(trade(30, 10, 100, group_id="C"), trade(40, -10, 98, group_id="B"))
    assert losses(desk, 41) == 2


def test_a_spread_is_one_trade_and_three_losses_are_a_breach() -> None:
    """R2.4: the leg that lost is no loss of its own."""
    short, long = option(6000), option(5990)
    desk = Desk()
    desk.book_fills(trade(0, -1, "5", instrument=short), trade(1, 1, "3", instrument=long))
    desk.book_fills(trade(3, 1, "2", instrument=short), trade(4, -1, "1", instrument=long))
    assert losses(desk, 5) == 0
    desk.book_fills(*round_trip(1, -1), *round_trip(2, -1))
    assert losses(desk, 30) == 2
    assert desk.read("max_consecutive_losses").level is Level.OK
    desk.book_fills(*round_trip(4, -1))
    assert losses(desk, 60) == 3
    assert desk.read("max_consecutive_losses").level is Level.BREACH


def amended(desk: Desk, known: Sequence[Fill], late: Fill) -> None:
    by_key = {each.key: each for each in known}
    sessions = desk.account.sessions.session_of
    desk.book = desk.book.with_fills([late], sessions, lambda *_: list(known), at(900), by_key.get)


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (fill("F-1", kind="FEE", fee="7", quantity="0", price="0", ref="E-11", executed_at=at(11)), 2),
        (fill("B-1", kind="BUST", quantity="0", price="0", ref="E-11", executed_at=at(12)), 0),
        (fill("C-1", "SELL", 10, 105, kind="CORRECT", ref="E-11", executed_at=at(12)), 1),
        (fill("C-2", "SELL", 10, 105, kind="CORRECT", ref="E-21", executed_at=at(22)), 0),
    ],
    ids=[
        "a fee of a loss",
        "the close is undone: all is one trade, and open",
        "the first was a win",
        "the last was a win",
    ],
)
def test_what_comes_late_changes_the_result_of_its_trade_and_counts_no_other(
    late: Fill, expected: int
) -> None:
    """R2.4, I4: two losses were counted; then a fill of one of them is amended."""
    desk, trips = Desk(), [round_trip(1, -1), round_trip(2, -1)]
    for trip in trips:
        desk.book_fills(*trip)
        losses(desk, 30)
    assert losses(desk, 31) == 2
    amended(desk, [*trips[0], *trips[1]], late)
    assert losses(desk, 901) == expected


def test_losses_of_days_that_the_ledger_has_forgotten_still_count() -> None:
    """R2.4: one loss a day, the book pruned and the state stored in between; a win ends it."""
    desk = Desk()
    for day in range(4):
        start = at(86_400 * 2 * day)
        desk.book_fills(
            fill(f"O-{day}", "BUY", 1, 100, start),
            fill(f"C-{day}", "SELL", 1, 99, start + timedelta(minutes=1)),
        )
        desk.book = desk.book.pruned(start + timedelta(minutes=2))
        assert losses(desk, 86_400 * 2 * day + 120) == day + 1
        desk.book = desk.book.pruned(start + timedelta(hours=25))
        assert losses(desk, 86_400 * 2 * day + 3600 * 26) == day + 1
    assert not desk.book.trades()
    desk.book_fills(*round_trip(80_000, 1))
    assert losses(desk, 800_100) == 0


def test_a_trade_that_nobody_valued_for_a_day_after_it_was_counted_stays_counted() -> None:
    """R2.4: the sweep stood still while the book forgot the trade."""
    desk = Desk()
    desk.book_fills(*round_trip(0, -1))
    assert losses(desk, 5) == 1
    desk.book = desk.book.pruned(NOON + timedelta(days=3))
    assert losses(desk, 3 * 86_400) == 1


def test_a_fee_in_another_currency_may_make_a_loss_of_a_win_and_without_its_rate_it_is_unknown() -> None:
    """R1.5, I7: 10 made, 0.1 BNB paid."""
    desk = Desk()
    desk.book_fills(
        *round_trip(0, -1), trade(20, 10, 100, fee="0.1", fee_currency="BNB"), trade(21, -10, 101)
    )
    trades = desk.book.trades()

    def found(known: dict[str, str], before: Streak) -> Streak:
        table = {"USD": Decimal(1)} | {name: Decimal(rate) for name, rate in known.items()}
        return streak_after(before, trades, table.get, at(30))

    assert found({"BNB": "600"}, Streak()).losses == 2
    assert found({"BNB": "60"}, Streak()).losses == 0
    assert found({}, Streak()).losses is None
    assert found({}, found({"BNB": "600"}, Streak())).losses == 2, "what was known stays known"
    old = streak_after(found({}, Streak()), (), table_without, at(86_400))
    assert old.losses == 2, "after a day too strict rather than too lax"


def table_without(currency: str) -> Decimal | None:
    return None


def test_what_is_remembered_is_bounded() -> None:
    """A scalper's day must not swell the document."""
    desk = Desk()
    desk.book_fills(*(leg for number in range(MOST + 30) for leg in round_trip(number, -1)))
    assert losses(desk, 5000) == MOST + 30
    assert desk.track.streak is not None
    assert len(desk.track.streak.closed) == MOST
    assert losses(desk, 5001) == MOST + 30


def test_trades_before_the_count_began_do_not_count() -> None:
    """F46: a document by an earlier version knows of none, or has a number without its trades."""
    desk = Desk()
    desk.book_fills(*(leg for number in range(4) for leg in round_trip(number, -1)))
    usd = {"USD": Decimal(1)}.get
    assert streak_after(None, desk.book.trades(), usd, at(50)).losses == 0
    assert decode_track(None).streak is None
    stored = encode_track(desk.track) | {"streak": [2, {"default:SPY": ["E-1", "-10"]}]}
    desk.track = decode_track(stored)
    assert losses(desk, 50) == 2
    desk.book_fills(trade(60, 1, 100, instrument=equity("QQQ")), trade(61, -1, 99, instrument=equity("QQQ")))
    assert losses(desk, 62) == 3


# --- one round trip is one loss ---


def test_a_position_scaled_in_by_several_orders_is_one_loss() -> None:
    """R2.4: three orders buy, one sells; the ledger keeps a trade for each of them."""
    desk = Desk()
    desk.book_fills(*(trade(i, 10, 100 - i, order_id=f"O-{i}") for i in range(3)))
    desk.book_fills(trade(10, -15, 95, order_id="X-1"))
    assert losses(desk, 11) == 0, "half of it is open"
    desk.book_fills(trade(20, -15, 95, order_id="X-2"))
    assert len([each for each in desk.book.trades() if each.exited_at]) == 3
    assert losses(desk, 21) == 1
    desk.book_fills(trade(30, 10, 100, order_id="O-9"), trade(31, -10, 99, order_id="X-9"))
    assert losses(desk, 32) == 2


def test_a_round_trip_has_made_what_all_its_orders_have() -> None:
    """R2.4: the first order lost 10, the second made 30; and the other way round."""
    for first, second, expected in ((99, 103, 0), (101, 97, 1)):
        desk = Desk()
        desk.book_fills(trade(0, 10, 100, order_id="O-1"), trade(1, 10, 100, order_id="O-2"))
        desk.book_fills(trade(2, -10, first, order_id="X-1"), trade(3, -10, second, order_id="X-2"))
        assert losses(desk, 4) == expected


def test_a_spread_scaled_in_by_two_orders_is_one_loss_and_another_spread_another() -> None:
    """R2.4: the same contracts, whoever sent them; other strikes are another trade."""
    desk = Desk()

    def spread(at: int, units: int, strike: int, order: str) -> list[Fill]:
        short, long = option(strike), option(strike - 10)
        prices = ("5", "3") if units < 0 else ("6", "3")
        return [
            trade(at, units, prices[0], instrument=short, order_id=order),
            trade(at + 1, -units, prices[1], instrument=long, order_id=order),
        ]

    desk.book_fills(*spread(0, -1, 6000, "A"), *spread(20, -1, 6000, "B"), *spread(40, -1, 5900, "C"))
    desk.book_fills(*spread(60, 2, 6000, "D"))
    assert losses(desk, 70) == 1
    desk.book_fills(*spread(80, 1, 5900, "E"))
    assert losses(desk, 90) == 2


def test_a_flip_and_a_new_entry_begin_another_round_trip() -> None:
    """R2.4: the position was flat in between, if only for a moment."""
    desk = Desk()
    desk.book_fills(trade(0, 10, 100, order_id="A"), trade(1, -20, 99, order_id="B"))
    assert losses(desk, 2) == 1
    desk.book_fills(trade(3, 20, 100, order_id="C"), trade(4, -10, 98, order_id="D"))
    assert losses(desk, 5) == 3


def test_a_round_trip_of_many_days_has_made_what_the_ledger_has_forgotten_too() -> None:
    """R2.4: 500 lost on the first day, 40 made on each of the next, and one is held all the time."""
    desk = Desk()
    desk.book_fills(trade(0, 1, 100, order_id="core"), trade(1, 100, 100, order_id="A"))
    desk.book_fills(trade(2, -1, 100, order_id="X"), trade(3, -99, "94.96", order_id="Y"))
    for day in range(1, 6):
        now = 86_400 * day
        desk.book_fills(trade(now, 10, 100, order_id=f"O{day}"))
        desk.book_fills(trade(now + 60, -10, 104, order_id=f"X{day}"))
        desk.book = desk.book.pruned(at(now + 60))
        assert losses(desk, now + 61) == 0, "the position has not been flat"
        assert losses(desk, now + 3600) == 0
    assert desk.track.streak is not None
    assert len(desk.track.streak.carried) == 1
    end = 86_400 * 5 + 7200
    desk.book_fills(trade(end, -1, 100, order_id="Z"))
    assert not desk.book.open_positions()
    for later in (1, 3600, 80_000, 90_000):
        assert losses(desk, end + later) == 1
        desk.book = desk.book.pruned(at(end + later))
    assert desk.track.streak.carried == ()
    desk.book_fills(*round_trip(60_000, -1))
    assert losses(desk, 600_020) == 2


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from([5, 10, -5, -10, -20]), st.integers(95, 105)), max_size=14),
    st.integers(1, 40),
)
def test_losses_in_a_row_are_those_of_the_position_from_flat_to_flat(
    orders: list[tuple[int, int]], hours: int
) -> None:
    """R2.4: as if no fill had named an order, whatever the ledger has forgotten by now."""
    named, plain, start = Desk(), Desk(), 0
    for number, (units, price) in enumerate(orders):
        start = number * 3600 * hours
        named.book_fills(trade(start, units, price, order_id=f"O-{number}"))
        plain.book_fills(trade(start, units, price))
        for desk in (named, plain):
            desk.book = desk.book.pruned(at(start))
        assert losses(named, start + 1) == losses(plain, start + 1)
    for later in (40_000, 84_000, 90_000):
        assert losses(named, start + later) == losses(plain, start + later)


def test_what_is_carried_of_a_long_round_trip_is_bounded() -> None:
    """A scalper who is never flat must not swell the document."""
    desk = Desk()
    desk.book_fills(trade(0, 1, 100, order_id="core"))
    for number in range(1, MOST + 30):
        bought, sold = (f"{side}-{number}" for side in "OX")
        desk.book_fills(
            trade(2 * number, 1, 100, order_id=bought), trade(2 * number + 1, -1, 99, order_id=sold)
        )
    assert losses(desk, 5000) == 0
    assert desk.track.streak is not None
    [carried] = desk.track.streak.carried
    assert carried.net == -29, "the rest is in the ledger"
    desk.book_fills(trade(6000, -1, 229, order_id="Z"))
    assert losses(desk, 6001) == 0, "129 were lost, and 129 made: neither"
    desk.book_fills(*round_trip(700, -1))
    assert losses(desk, 7020) == 1
