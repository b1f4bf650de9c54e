"""Closing a book: short legs first, one live command a position, and flat only when the fills say so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.control import Closing, ClosingStatus
from stopline.model.fill import Fill
from stopline.model.messages import Command, CommandAction
from stopline.rules.closing import GRACE, VALID, advance

from ..make import NOON, account, at, equity, fill, option, trade

SESSION_OF = account().sessions.session_of
SPREAD = [trade(1, -2, 10, instrument=option(6000)), trade(2, 2, 8, instrument=option(5990))]


def book_of(fills: Sequence[Fill]) -> Book:
    return Book("demo").with_fills(fills, SESSION_OF, lambda _p, _f: [], at(10**6))


def closes(commands: Sequence[Command]) -> list[tuple[str, str, Decimal]]:
    return [
        (c.instrument.symbol, c.side or "", c.quantity or Decimal(0))
        for c in commands
        if c.action is CommandAction.CLOSE and c.instrument
    ]


def test_a_closing_begins_with_a_cancel_of_all_working_orders() -> None:
    """R4.5, R5.1: a resting order must not fill while positions are closed."""
    closing, commands = advance("demo", None, 3, book_of(SPREAD), NOON)
    assert commands[0].action is CommandAction.CANCEL_ALL
    assert {c.epoch for c in commands} == {3}
    assert (closing.status, closing.epoch, closing.since) == (ClosingStatus.CLOSING, 3, NOON)


def test_short_legs_are_bought_back_before_long_ones_are_sold() -> None:
    """R4.5, domain 4.1: the long leg protects until its short leg is gone."""
    _, commands = advance("demo", None, 1, book_of(SPREAD), NOON)
    assert closes(commands) == [("SPXW261118P06000000", "BUY", 2), ("SPXW261118P05990000", "SELL", 2)]


def test_every_close_is_reduce_only_names_its_position_and_expires() -> None:
    """F44, R8.4."""
    _, commands = advance("demo", None, 1, book_of([trade(1, 5, 100, strategy="trend")]), NOON)
    [close] = [c for c in commands if c.action is CommandAction.CLOSE]
    assert (close.reduce_only, close.strategy, close.quantity) == (True, "trend", 5)
    assert (close.issued_at, close.expires_at) == (NOON, NOON + VALID)


def test_nothing_is_sent_again_before_the_command_has_expired_and_the_grace_is_over() -> None:
    """F44: no two close commands of a position are alive at once."""
    book = book_of(SPREAD)
    closing, _ = advance("demo", None, 1, book, NOON)
    early = NOON + VALID + GRACE - timedelta(microseconds=1)
    assert advance("demo", closing, 1, book, early) == (closing, [])
    again, commands = advance("demo", closing, 1, book, NOON + VALID + GRACE)
    assert len(closes(commands)) == 2
    assert {order.round for order in again.orders.values()} == {2}


def test_a_command_that_is_sent_again_is_another_command_for_what_is_left() -> None:
    """F43, F44: the broker filled one of two; an adapter acts once on an id, so the rest needs a new one."""
    closing, first = advance("demo", None, 1, book_of(SPREAD), NOON)
    left = book_of([*SPREAD, trade(3, 1, 9, instrument=option(6000))])
    _, second = advance("demo", closing, 1, left, NOON + VALID + GRACE)
    assert ("SPXW261118P06000000", "BUY", 1) in closes(second)
    assert {c.command_id for c in first}.isdisjoint({c.command_id for c in second})


def test_the_same_state_gives_the_same_commands() -> None:
    """I5: a replay after a crash sends the same ids, and the adapter acts once."""
    assert advance("demo", None, 1, book_of(SPREAD), NOON) == advance("demo", None, 1, book_of(SPREAD), NOON)


def test_only_the_fills_make_it_flat() -> None:
    """Domain case 16: commands were sent long ago; the book is not flat until the fills are in it."""
    book = book_of(SPREAD)
    closing, _ = advance("demo", None, 1, book, NOON)
    for minutes in range(1, 5):
        closing, _ = advance("demo", closing, 1, book, NOON + timedelta(minutes=minutes))
        assert closing.status is ClosingStatus.CLOSING
        assert closing.flat_at is None
    done = [trade(3, 2, 9, instrument=option(6000)), trade(4, -2, 7, instrument=option(5990))]
    closing, commands = advance("demo", closing, 1, book_of([*SPREAD, *done]), NOON + timedelta(minutes=5))
    assert (closing.status, closing.flat_at, commands) == (
        ClosingStatus.FLAT,
        NOON + timedelta(minutes=5),
        [],
    )
    assert closing.orders == {}


def test_flat_keeps_the_moment_it_was_first_seen() -> None:
    closing, _ = advance("demo", None, 1, book_of([]), NOON)
    assert (closing.status, closing.flat_at) == (ClosingStatus.FLAT, NOON)
    later, commands = advance("demo", closing, 1, book_of([]), at(60))
    assert (later, commands) == (closing, [])


def test_a_fill_that_comes_after_flat_is_closed_too() -> None:
    """F37, domain 3.8: a fill while killed is the truth; it is booked, and then it is closed."""
    flat, _ = advance("demo", None, 1, book_of([]), NOON)
    closing, commands = advance("demo", flat, 1, book_of([trade(1, -3, 100)]), at(1))
    assert (closing.status, closing.flat_at) == (ClosingStatus.CLOSING, None)
    assert closes(commands) == [("SPY", "BUY", 3)]


def test_a_position_that_was_closed_and_opened_again_gets_a_command_with_another_id() -> None:
    """F44: the adapter has executed the first id; the same id again would be dropped."""
    one = [trade(1, 3, 100)]
    closing, first = advance("demo", None, 1, book_of(one), NOON)
    closing, _ = advance("demo", closing, 1, book_of([*one, trade(2, -3, 99)]), at(5))
    closing, second = advance("demo", closing, 1, book_of([*one, trade(2, -3, 99), trade(3, 3, 98)]), at(6))
    assert closes(second) == [("SPY", "SELL", 3)]
    assert first[-1].command_id != second[-1].command_id


def test_a_new_epoch_begins_anew_with_a_cancel() -> None:
    """F39: commands of the old epoch are dropped by the adapter, so all of them are sent anew."""
    book = book_of(SPREAD)
    closing, first = advance("demo", None, 1, book, NOON)
    closing, second = advance("demo", closing, 2, book, at(1))
    assert second[0].action is CommandAction.CANCEL_ALL
    assert closes(second) == closes(first)
    assert {c.epoch for c in second} == {2}
    assert {c.command_id for c in first}.isdisjoint({c.command_id for c in second})
    assert closing.since == at(1)


events = st.lists(
    st.tuples(
        st.integers(0, 40),  # seconds that pass
        st.sampled_from(["SPY", "QQQ"]),
        st.integers(-3, 3),  # a fill of so many, or none
        st.booleans(),  # a new epoch
    ),
    max_size=20,
)


@given(events)
def test_however_fills_and_sweeps_fall_no_position_has_two_live_commands(
    happened: list[tuple[int, str, int, bool]],
) -> None:
    """F43, F44, I5: ids are never used twice, live commands never sum to more than was open when they were
    sent.
    """
    now, epoch, closing, fills = NOON, 1, None, [trade(0, 5, 100)]
    live: dict[str, Command] = {}
    ids: set[str] = set()
    for number, (passed, symbol, units, fresh) in enumerate(happened, 1):
        now += timedelta(seconds=passed)
        if units:
            side = "BUY" if units > 0 else "SELL"
            fills.append(fill(f"E-{number}", side, abs(units), 100, now, equity(symbol)))
        if fresh:
            epoch += 1
            live.clear()  # the adapter drops what is older
        book = book_of(fills)
        before: Closing | None = closing
        closing, commands = advance("demo", closing, epoch, book, now)
        assert (closing.status is ClosingStatus.FLAT) == (not book.open_positions())
        assert (before is None or fresh) == any(c.action is CommandAction.CANCEL_ALL for c in commands)
        for command in commands:
            assert command.command_id not in ids
            ids.add(command.command_id)
            if command.action is CommandAction.CLOSE and command.instrument:
                key = command.instrument.symbol
                position = book.positions[f"default:{key}"]
                assert (
                    key not in live or now >= live[key].expires_at or position.cycle[0] > live[key].issued_at
                )  # type: ignore[index]
                assert command.quantity == abs(position.quantity)
                assert (command.side == "SELL") == (position.quantity > 0)
                live[key] = command
