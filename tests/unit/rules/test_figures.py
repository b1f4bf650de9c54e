"""An account's numbers: exact where they can be, UNKNOWN where they cannot, zero only when they are zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.rules.limits.figures import DayStart, Figures, Rate, Valued, add, figures

from ..make import NOON, account, at, equity, fill, option, trade

ACCOUNT = account()
SESSIONS = ACCOUNT.sessions
SESSION = SESSIONS.session_of(NOON)
BEGINS = SESSIONS.session_start(SESSION)
YESTERDAY = NOON - timedelta(days=1)


def rates(**known: str) -> Rate:
    table = {name: Decimal(value) for name, value in known.items()}
    return lambda currency: Decimal(1) if currency == "USD" else table.get(currency)


def book_of(fills: Sequence[Fill]) -> Book:
    return Book("demo").with_fills(fills, SESSIONS.session_of, lambda _p, _f: [], NOON + timedelta(hours=1))


def valued(book: Book, **marks: str | None) -> list[Valued]:
    """Value open positions at marks by symbol; None or no mark: unpriced."""
    result = []
    for position in book.open_positions():
        text = marks.get(position.instrument.symbol)
        if text is None:
            result.append(Valued(position, None, None, None))
            continue
        mark = Decimal(text)
        value = position.quantity * mark * position.instrument.multiplier
        result.append(Valued(position, mark, value, value - position.cost))
    return result


def numbers(
    fills: Sequence[Fill],
    rate: Rate | None = None,
    start: DayStart | None = None,
    last_total: tuple[datetime, Decimal] | None = None,
    now: datetime = NOON,
    **marks: str | None,
) -> Figures:
    book = book_of(fills)
    return figures(ACCOUNT, book, valued(book, **marks), rate or rates(), start, last_total, now)


def test_profit_is_realised_and_unrealised_less_fees() -> None:
    """R1.3: by hand: sold 4 of 10@100 at 105 with fees 2 and 1; the rest stands at 103."""
    f = numbers([trade(1, 10, 100, fee="2"), trade(2, -4, 105, fee="1")], SPY="103")
    assert (f.realised_day, f.unrealised, f.total) == (17, 18, 35)
    assert (f.equity, f.pnl_day) == (100_035, 35)
    assert f.position_values == {"default:SPY": 618}
    assert f.exposures == {"SPY": 618}
    assert f.gross_exposure == 618


def test_one_position_without_a_price_makes_the_sums_unknown_and_not_smaller() -> None:
    """I7, domain case 15: NaN is UNKNOWN, no limit is OK by it, nothing is flattened by it."""
    f = numbers([trade(1, 10, 100), trade(2, 10, 50, instrument=equity("QQQ"))], SPY="103")
    assert (f.unrealised, f.total, f.equity, f.pnl_day, f.gross_exposure) == (None,) * 5
    assert f.position_values == {"default:SPY": 1030, "default:QQQ": None}
    assert f.exposures == {"SPY": 1030, "QQQ": None}
    assert f.realised_day == 0
    assert f.unpriced == ["QQQ"]


def test_a_mark_of_zero_is_a_price() -> None:
    """B20: an option may be worth nothing; that is known."""
    f = numbers([trade(1, 1, "2.00", instrument=option())], SPXW261118P06000000="0")
    assert (f.unrealised, f.unpriced) == (-200, [])


def test_an_account_without_positions_is_known() -> None:
    f = numbers([])
    assert (f.total, f.equity, f.pnl_day, f.unrealised, f.gross_exposure) == (0, 100_000, 0, 0, 0)


# --- currencies ---


EURO = [
    trade(1, 10, 100, instrument=equity("SAP", "EUR")),
    trade(2, -4, 105, instrument=equity("SAP", "EUR")),
]


def test_other_currencies_are_converted_at_the_rate() -> None:
    """R1.5: 20 realised, 18 unrealised, 618 value in EUR at 1.10."""
    f = numbers(EURO, rates(EUR="1.10"), SAP="103")
    assert (f.realised_day, f.unrealised, f.total) == (22, Decimal("19.8"), Decimal("41.8"))
    assert f.exposures == {"SAP": Decimal("679.8")}


def test_without_a_rate_everything_in_that_currency_is_unknown() -> None:
    """B53: UNKNOWN exposure, never zero and never one to one."""
    f = numbers([*EURO, trade(3, 1, 100)], SAP="103", SPY="100")
    assert (f.realised_day, f.unrealised, f.equity, f.pnl_day) == (None,) * 4
    assert f.exposures == {"SAP": None, "SPY": 100}


def test_nothing_needs_no_rate() -> None:
    """B53: zero in an unknown currency is zero: a closed position without profit does not blind the
    account.
    """
    closed = [
        trade(1, 1, 100, instrument=equity("SAP", "EUR")),
        trade(2, -1, 100, instrument=equity("SAP", "EUR")),
    ]
    assert numbers(closed).equity == 100_000


def test_a_fee_in_another_currency_needs_its_rate() -> None:
    """R1.5."""
    paid = [trade(1, 1, 100, fee="0.01", fee_currency="BNB")]
    assert numbers(paid, SPY="100").total is None
    assert numbers(paid, rates(BNB="600"), SPY="100").total == -6


# --- the start of the day ---


def test_without_anything_held_over_the_start_is_exact() -> None:
    """R2.1: yesterday's profit is in the start, today's is not."""
    f = numbers(
        [
            fill("E-1", "BUY", 10, 100, YESTERDAY),
            fill("E-2", "SELL", 10, 110, YESTERDAY + timedelta(minutes=1)),
            trade(3, 10, 100),
        ],
        SPY="99",
    )
    assert f.day_start == DayStart(SESSION, Decimal(100), "ledger: nothing was held over the start")
    assert (f.pnl_day, f.total) == (-10, 90)
    assert f.day_start_equity == 100_100


HELD_OVER = [fill("E-H", "BUY", 10, 100, YESTERDAY)]


def test_with_something_held_over_the_last_valuation_of_the_session_before_is_the_start() -> None:
    """R2.1."""
    f = numbers(HELD_OVER, last_total=(BEGINS - timedelta(hours=3), Decimal(40)), SPY="109")
    assert f.day_start is not None
    assert f.day_start.source.startswith("last complete valuation, 2026-11-18T02:00:00")
    assert (f.total, f.pnl_day) == (90, 50)


@pytest.mark.parametrize(
    "valuation",
    [
        None,
        (BEGINS, Decimal(40)),  # of this session already
        (NOON, Decimal(40)),
        (
            SESSIONS.session_start(SESSIONS.previous_session(SESSION)) - timedelta(seconds=1),
            Decimal(40),
        ),  # too old
    ],
    ids=["none", "at the start", "after the start", "older than a session"],
)
def test_without_a_valuation_of_the_session_before_the_start_and_the_day_are_unknown(
    valuation: tuple[datetime, Decimal] | None,
) -> None:
    """I7: no invented day start, so no invented loss."""
    f = numbers(HELD_OVER, last_total=valuation, SPY="109")
    assert (f.day_start, f.pnl_day, f.day_start_equity) == (None, None, None)
    assert f.total == 90


def test_selling_and_buying_again_does_not_make_an_unknown_start_exact() -> None:
    """I7: the shares of the night were sold at ten, new ones bought at eleven: the start stays unknown."""
    f = numbers([*HELD_OVER, trade(1, -10, 90), trade(2, 10, 91)], SPY="91")
    assert (f.day_start, f.pnl_day) == (None, None)


def test_the_start_that_was_found_holds_all_day() -> None:
    """R2.4: it must not move with a later valuation."""
    stored = DayStart(SESSION, Decimal(7), "found this morning")
    f = numbers(HELD_OVER, start=stored, last_total=(NOON, Decimal(40)), SPY="109")
    assert (f.day_start, f.pnl_day) == (stored, 83)


def test_the_start_of_yesterday_does_not_hold_today() -> None:
    """F36."""
    stored = DayStart(SESSIONS.previous_session(SESSION), Decimal(7), "found yesterday")
    assert numbers(HELD_OVER, start=stored, SPY="109").day_start is None


def test_the_day_rolls_at_midnight_of_the_account_s_calendar() -> None:
    """F36: 23:59 in New York still counts for the day; a minute later the loss of the day is 0."""
    loss = [fill("E-1", "BUY", 10, 100, NOON), fill("E-2", "SELL", 10, 90, at(60))]
    before = numbers(loss, now=datetime(2026, 11, 19, 4, 59, 59, tzinfo=UTC))
    after = numbers(loss, now=datetime(2026, 11, 19, 5, 0, tzinfo=UTC))
    assert (before.realised_day, before.pnl_day) == (-100, -100)
    assert (after.realised_day, after.pnl_day) == (0, 0)
    assert before.total == after.total == -100


# --- exposure ---


def exposure(*legs: tuple[Instrument, int, str], **marks: str) -> Decimal | None:
    fills = [trade(n, units, price, instrument=leg) for n, (leg, units, price) in enumerate(legs, 1)]
    found = numbers(fills, **marks).exposures
    assert len(found) == 1
    return next(iter(found.values()))


def test_a_credit_spread_counts_once_with_its_width() -> None:
    """R1.2, R2.2: 50 x 10 wide is 50,000 at risk, whatever the marks of its legs are; no marks are needed."""
    assert exposure((option(6000), -50, "10.00"), (option(5990), 50, "8.00")) == 50_000


def test_an_iron_condor_counts_with_its_wider_side() -> None:
    """R1.2, domain case 4."""
    legs = [(7185, "P", -2), (7135, "P", 2), (7500, "C", -2), (7660, "C", 2)]
    assert exposure(*((option(k, r), n, "5") for k, r, n in legs)) == 32_000


def test_long_options_count_with_what_was_paid() -> None:
    """R2.2."""
    assert exposure((option(6000, "C"), 3, "12.50")) == 3750


def test_a_debit_spread_counts_with_its_debit() -> None:
    assert exposure((option(6000, "C"), 1, "12"), (option(6010, "C"), -1, "8")) == 400


def test_a_naked_put_counts_down_to_zero_and_a_naked_call_with_its_units() -> None:
    """R2.2: unbounded is never small."""
    assert exposure((option(6000, "P"), -1, "5")) == 600_000
    assert exposure((option(6000, "C"), -1, "5")) == 600_000
    assert exposure((option(6000, "C"), -2, "5"), (option(5990, "C"), 1, "9")) == 600_000


def test_a_long_option_protects_a_short_one_of_its_day_or_before_and_none_that_outlives_it() -> None:
    """R1.2: as in a trade, and by Regulation T: what lives as long as the short leg, or longer, covers it, once."""
    week = SESSIONS.session_of(NOON + timedelta(days=7))
    near, far = option(6000), option(5990, expiry=week)
    assert exposure((near, -1, "10"), (far, 1, "12")) == 1000 + 200, "a diagonal: ten wide, and its debit"
    assert exposure((option(6000, expiry=week), -1, "10"), (option(5990), 1, "12")) == 600_000 + 1200
    assert exposure((near, -2, "10"), (far, 1, "12")) == 600_000 + 1000, "the second stays naked"
    other = option(6005, expiry=week)
    taken = ((near, -1, "10"), (far, 1, "12"), (other, -1, "14"))
    assert exposure(*taken) == 600_000 + 1500, "one long leg covers one short one"


def test_shares_of_an_underlying_count_net_and_beside_its_options() -> None:
    """R1.1."""
    call = option(110, "C", root="SPY")
    assert exposure((equity("SPY"), 100, "100"), (call, 1, "2"), SPY="105") == 10_500 + 200


def test_a_short_position_counts_with_its_size() -> None:
    """R1.5."""
    assert exposure((equity("SPY"), -10, "100"), SPY="105") == 1050


@given(st.lists(st.none() | st.decimals(-1000, 1000, places=2), max_size=6))
def test_a_sum_with_an_unknown_part_is_unknown(parts: list[Decimal | None]) -> None:
    """I7."""
    total = add(parts)
    known = [p for p in parts if p is not None]
    assert total == (sum(known, Decimal(0)) if len(known) == len(parts) else None)


@given(
    st.lists(st.tuples(st.integers(-5, 5).filter(bool), st.integers(1, 200)), min_size=1, max_size=8),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_equity_is_capital_and_cash_and_value(trades: list[tuple[int, int]], mark: int, capital: int) -> None:
    """I1: the ledger's way to equity and the cashier's way agree."""
    fills = [trade(n, units, price, fee="0.5") for n, (units, price) in enumerate(trades)]
    f = numbers(fills, SPY=str(mark))
    cash = -sum(units * price for units, price in trades) - Decimal("0.5") * len(trades)
    assert f.equity == 100_000 + cash + sum(units for units, _ in trades) * mark
