"""Closing a book: short legs first, one live command a position, and flat only when the fills say so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.closing_state import ClosingState
from stopline.model.control import Closing, ClosingStatus
from stopline.model.fill import Fill
from stopline.model.messages import Command, CommandAction
from stopline.model.settings.closing import ClosingSettings
from stopline.rules.closing import commands as rules
from stopline.rules.closing.executions import with_fills
from stopline.rules.closing.order import Situation
from stopline.rules.closing.sent import GRACE

from ..make import NOON, account, at, equity, fill, option, trade

SESSION_OF = account().sessions.session_of
SPREAD = [trade(1, -2, 10, instrument=option(6000)), trade(2, 2, 8, instrument=option(5990))]


def book_of(fills: Sequence[Fill]) -> Book:
    return Book("demo").with_fills(fills, SESSION_OF, lambda _p, _f: [], at(10**6))


VALID = timedelta(seconds=ClosingSettings().valid_s)


def advance(
    name: str, state: ClosingState | None, epoch: int, book: Book, now: datetime, fills: Sequence[Fill] = ()
) -> tuple[ClosingState, list[Command]]:
    """Advance a halt of the whole account."""
    before = state or ClosingState(account=name)
    before = before.model_copy(update={"sent": {id_: with_fills(s, fills) for id_, s in before.sent.items()}})
    situation = Situation(
        book, ClosingSettings(), now, epoch, halted=lambda _: True, halts={"account:demo": epoch}
    )
    step = rules.advance(before, situation)
    return step.state, list(step.commands)


def halt(state: ClosingState) -> Closing:
    assert state.halt is not None
    return state.halt


def closes(commands: Sequence[Command]) -> list[tuple[str, str, Decimal]]:
    return [
        (c.instrument.symbol, c.side or "", c.quantity or Decimal(0))
        for c in commands
        if c.action is CommandAction.CLOSE and c.instrument
    ]


def test_a_closing_begins_at_the_epoch_of_its_halt() -> None:
    """R4.5, R5.1: its cancel is out before."""
    closing, commands = advance("demo", None, 3, book_of(SPREAD), NOON)
    assert {(c.action, c.epoch) for c in commands} == {(CommandAction.CLOSE, 3)}
    assert (halt(closing).status, halt(closing).epoch, halt(closing).since) == (
        ClosingStatus.CLOSING,
        3,
        NOON,
    )


def test_short_legs_are_bought_back_before_long_ones_are_sold() -> None:
    """R4.5, domain 4.1: the long leg protects until the fills have bought its short leg back."""
    closing, commands = advance("demo", None, 1, book_of(SPREAD), NOON)
    assert closes(commands) == [("SPXW261118P06000000", "BUY", 2)]
    half = [*SPREAD, trade(3, 1, 9, instrument=option(6000))]
    closing, commands = advance("demo", closing, 1, book_of(half), at(3))
    assert closes(commands) == [("SPXW261118P05990000", "SELL", 1)]
    whole = [*half, trade(4, 1, 9, instrument=option(6000))]
    closing, commands = advance("demo", closing, 1, book_of(whole), at(4))
    assert closes(commands) == [("SPXW261118P05990000", "SELL", 1)]


def test_a_long_leg_that_expires_before_the_short_one_does_not_free_its_cover() -> None:
    """R4.5: of two long legs only the later one covers, so it waits, however many of the other are held."""
    early, late = date(2026, 11, 18), date(2026, 12, 18)
    legs = [(-2, 6000, late, "a"), (2, 5990, late, "a"), (2, 5980, early, "b")]  # b is looked at last
    fills = [
        trade(n, quantity, 9, instrument=option(strike, expiry=end), strategy=strategy)
        for n, (quantity, strike, end, strategy) in enumerate(legs, 1)
    ]
    _, commands = advance("demo", None, 1, book_of(fills), NOON)
    assert {symbol for symbol, side, _ in closes(commands) if side == "SELL"} == {
        option(5980, expiry=early).symbol
    }


def test_every_close_is_reduce_only_names_its_position_and_expires() -> None:
    """F44, R8.4."""
    _, commands = advance("demo", None, 1, book_of([trade(1, 5, 100, strategy="trend")]), NOON)
    [close] = [c for c in commands if c.action is CommandAction.CLOSE]
    assert (close.reduce_only, close.strategy, close.quantity) == (True, "trend", 5)
    assert (close.issued_at, close.expires_at) == (NOON, NOON + VALID)


def test_nothing_is_sent_again_before_the_command_has_expired_and_the_grace_is_over() -> None:
    """F44: no two close commands of a position are alive at once."""
    book = book_of([trade(1, -2, 10), trade(2, 2, 8, instrument=equity("QQQ"))])
    closing, _ = advance("demo", None, 1, book, NOON)
    early = NOON + VALID + GRACE - timedelta(microseconds=1)
    assert advance("demo", closing, 1, book, early) == (closing, [])
    again, commands = advance("demo", closing, 1, book, NOON + VALID + GRACE)
    assert len(closes(commands)) == 2
    assert {order.round for order in halt(again).orders.values()} == {2}


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
        assert halt(closing).status is ClosingStatus.CLOSING
        assert halt(closing).flat_at is None
    done = [trade(3, 2, 9, instrument=option(6000)), trade(4, -2, 7, instrument=option(5990))]
    closing, commands = advance("demo", closing, 1, book_of([*SPREAD, *done]), NOON + timedelta(minutes=5))
    assert (halt(closing).status, halt(closing).flat_at, commands) == (
        ClosingStatus.FLAT,
        NOON + timedelta(minutes=5),
        [],
    )
    assert halt(closing).orders == {}


def test_flat_keeps_the_moment_it_was_first_seen() -> None:
    closing, _ = advance("demo", None, 1, book_of([]), NOON)
    assert (halt(closing).status, halt(closing).flat_at) == (ClosingStatus.FLAT, NOON)
    later, commands = advance("demo", closing, 1, book_of([]), at(60))
    assert (later, commands) == (closing, [])


def test_a_fill_that_comes_after_flat_is_closed_too() -> None:
    """F37, domain 3.8: a fill while killed is the truth; it is booked, and then it is closed."""
    flat, _ = advance("demo", None, 1, book_of([]), NOON)
    closing, commands = advance("demo", flat, 1, book_of([trade(1, -3, 100)]), at(1))
    assert (halt(closing).status, halt(closing).flat_at) == (ClosingStatus.CLOSING, None)
    assert closes(commands) == [("SPY", "BUY", 3)]


def test_a_position_that_was_closed_and_opened_again_gets_a_command_with_another_id() -> None:
    """F44: the adapter has executed the first id; the same id again would be dropped."""
    one = [trade(1, 3, 100)]
    closing, first = advance("demo", None, 1, book_of(one), NOON)
    done = trade(2, -3, 99, order_id=first[-1].command_id)
    closing, _ = advance("demo", closing, 1, book_of([*one, done]), at(5), [done])
    closing, second = advance("demo", closing, 1, book_of([*one, done, trade(3, 3, 98)]), at(6), [done])
    assert closes(second) == [("SPY", "SELL", 3)]
    assert first[-1].command_id != second[-1].command_id


def test_what_nobody_can_tell_to_be_done_counts_as_alive_until_its_end() -> None:
    """F44: a fill that names no command may be of anybody; the command may still be executed."""
    one = [trade(1, 3, 100)]
    closing, _ = advance("demo", None, 1, book_of(one), NOON)
    again = book_of([*one, trade(2, -3, 99), trade(3, 3, 98)])
    closing, second = advance("demo", closing, 1, again, at(6))
    assert closes(second) == []
    closing, third = advance("demo", closing, 1, again, NOON + VALID + GRACE)
    assert closes(third) == [("SPY", "SELL", 3)]


def test_a_new_epoch_begins_anew_and_waits_for_what_is_out() -> None:
    """F39, F44: the adapter drops commands of the old epoch, but one of them may have been executed just now."""
    book = book_of([trade(1, -2, 10)])
    closing, first = advance("demo", None, 1, book, NOON)
    closing, second = advance("demo", closing, 2, book, at(1))
    assert second == []
    closing, third = advance("demo", closing, 2, book, at(1) + GRACE)
    assert closes(third) == closes(first)
    assert {c.epoch for c in third} == {2}
    assert {c.command_id for c in first}.isdisjoint({c.command_id for c in third})
    assert halt(closing).since == at(1)


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
def test_however_fills_and_sweeps_fall_live_commands_never_sum_to_more_than_is_held(
    happened: list[tuple[int, str, int, bool]],
) -> None:
    """F43, F44, I5: ids are never used twice, live commands never sum to more than was open when they were sent."""
    now, epoch, closing, fills = NOON, 1, None, [trade(0, 5, 100)]
    live: dict[str, list[Command]] = {}
    ids: set[str] = set()
    for number, (passed, symbol, units, fresh) in enumerate(happened, 1):
        now += timedelta(seconds=passed)
        if units:
            side = "BUY" if units > 0 else "SELL"
            fills.append(fill(f"E-{number}", side, abs(units), 100, now, equity(symbol)))
        if fresh:
            epoch += 1
        book = book_of(fills)
        closing, commands = advance("demo", closing, epoch, book, now)
        assert (halt(closing).status is ClosingStatus.FLAT) == (not book.open_positions())
        for command in commands:
            assert command.command_id not in ids
            ids.add(command.command_id)
            if command.action is CommandAction.CLOSE and command.instrument and command.quantity:
                key = command.instrument.symbol
                position = book.positions[f"default:{key}"]
                assert (command.side == "SELL") == (position.quantity > 0)
                alive = [c for c in live.get(key, []) if now < c.expires_at and c.epoch == epoch]
                total = command.quantity + sum(c.quantity or Decimal(0) for c in alive)
                assert total <= abs(position.quantity)
                live[key] = [*alive, command]
