"""What is remembered of losses: starts, peaks, windows and streaks, against a history that forgets nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.fill import Fill
from stopline.rules.limits.figures import Figures, Valued, figures
from stopline.rules.limits.registry import Level, Reading, readings
from stopline.rules.limits.track import (
    NEW,
    DayStart,
    Peak,
    Sample,
    Track,
    first_session,
    sampled,
)
from stopline.service.evaluation.track_state import decode_start, decode_track, encode_track

from ..make import NOON, account, at, fill, trade

ACCOUNT = account()
SESSIONS = ACCOUNT.sessions


class Desk:
    """An account that is valued again and again, restarted in between each time."""

    def __init__(self, made: Account = ACCOUNT) -> None:
        self.account = made
        self.book = Book("demo")
        self.track: Track = NEW
        self.day_start: DayStart | None = None
        self.last_total: tuple[datetime, Decimal] | None = None
        self.numbers: Figures | None = None

    def book_fills(self, *fills: Fill) -> None:
        last = max(f.executed_at for f in fills)
        self.book = self.book.with_fills(fills, self.account.sessions.session_of, lambda *_: [], last)

    def value(self, now: datetime, mark: str | Decimal | None = None) -> Figures:
        valued = []
        for position in self.book.open_positions():
            price = None if mark is None else Decimal(mark)
            value = None if price is None else position.quantity * price * position.instrument.multiplier
            gain = None if value is None else value - position.cost
            valued.append(Valued(position, price, value, gain))
        f = figures(
            self.account,
            self.book,
            valued,
            lambda _: Decimal(1),
            self.day_start,
            self.last_total,
            now,
            self.track,
        )
        self.track = decode_track(orjson.loads(orjson.dumps(encode_track(f.track))))
        assert self.track == f.track, "what is stored is what was remembered"
        self.day_start = f.day_start or self.day_start
        self.last_total = (now, f.total) if f.total is not None else self.last_total
        self.numbers = f
        return f

    def read(self, name: str) -> Reading:
        assert self.numbers is not None
        [reading] = [r for r in readings(self.numbers, {}) if r.limit.name == name]
        return reading


def noon(day: date) -> datetime:
    return datetime.combine(day, NOON.time(), NOON.tzinfo)


def sessions_from(day: date, count: int) -> list[date]:
    days = []
    while len(days) < count:
        if SESSIONS.is_session(day):
            days.append(day)
        day += timedelta(days=1)
    return days


DAYS = sessions_from(date(2026, 10, 1), 45)


def flow(number: int, amount: int) -> Fill:
    """A deposit, or a withdrawal where the amount is negative."""
    return fill(f"D-{number}", kind="FLOW", fee=str(-amount), quantity="0", price="0", executed_at=at(number))


def lost(start: Decimal, now: Decimal) -> Decimal:
    """The oracle's percentage: of the capital and the P&L at the start."""
    return max(round((start - now) * 100 / (100_000 + start), 6), Decimal(0))


@settings(max_examples=8)
@given(st.lists(st.integers(60, 160), min_size=45, max_size=45))
def test_losses_of_periods_and_drawdown_are_those_of_the_whole_history(marks: list[int]) -> None:
    """R2.3, R2.4, domain 2.6: 500 shares held for 45 sessions, valued at each noon, restarted after each; the oracle
    keeps every valuation and knows nothing of sessions but their dates.
    """
    desk = Desk()
    desk.book_fills(trade(0, 500, 100, executed_at=noon(DAYS[0])))
    history: list[tuple[date, Decimal]] = []
    for day, mark in zip(DAYS, marks, strict=True):
        desk.value(noon(day), Decimal(mark))
        total = Decimal(500 * (mark - 100))
        before = [value for _, value in history]

        def start(first: date) -> Decimal:
            earlier = [value for of, value in history if of < first]
            return earlier[-1] if earlier else Decimal(0)

        monday = day - timedelta(days=day.weekday())
        assert desk.read("max_daily_loss").current == lost(before[-1] if before else Decimal(0), total)
        assert desk.read("max_weekly_loss").current == lost(start(monday), total)
        assert desk.read("max_monthly_loss").current == lost(start(day.replace(day=1)), total)
        window = [value for of, value in history if of <= day - timedelta(days=1)]
        assert desk.read("max_loss_24h").current == lost(window[-1] if window else Decimal(0), total)
        week = [value for of, value in history if of <= day - timedelta(days=7)]
        assert desk.read("max_loss_7d").current == lost(week[-1] if week else Decimal(0), total)
        history.append((day, total))
        values = [value for _, value in history]
        held = [min(values[i - 2 : i + 1]) for i in range(2, len(values))]
        assert desk.read("max_drawdown").current == lost(max([Decimal(0), *held]), total)


def test_a_peak_must_hold_three_valuations() -> None:
    """Domain 2.4: one bad price must not become a peak that the account then seems to fall from."""
    peak = Peak()
    for value in (100, 900, 110, 120, 115):
        peak = peak.after(Decimal(value))
    assert peak.top == 110
    assert peak.after(None) == peak


@given(st.lists(st.integers(-1000, 1000).map(Decimal), max_size=40))
def test_a_peak_never_falls_and_is_never_above_what_was_seen(values: list[Decimal]) -> None:
    """R2.3."""
    peak, tops = Peak(), [Decimal(0)]
    for value in values:
        peak = peak.after(value)
        tops.append(peak.top)
    assert tops == sorted(tops)
    assert peak.top <= max([Decimal(0), *values])


def test_drawdown_at_the_end_of_day_ignores_what_was_made_within_a_day() -> None:
    """Domain 2.6: prop firms that trail at the close."""
    for mode, down in (("real_time", "9.523810"), ("end_of_day", "4.761905")):
        desk = Desk(account(risk={"peak_mode": mode}))
        desk.book_fills(trade(0, 1000, 100, executed_at=noon(DAYS[0])))
        for minute in range(4):
            desk.value(noon(DAYS[0]) + timedelta(minutes=minute), "105")
        for minute in range(4):
            desk.value(noon(DAYS[1]) + timedelta(minutes=minute), "110")
        for minute in range(4):
            desk.value(noon(DAYS[1]) + timedelta(hours=1, minutes=minute), "100")
        expected = {"real_time": Decimal(1_000_000) / 110_000, "end_of_day": Decimal(500_000) / 105_000}[mode]
        assert desk.read("max_drawdown").current == round(expected, 6), (mode, down)


def test_a_profit_is_no_drawdown_and_a_deposit_is_no_profit() -> None:
    """R2.3 (fix), domain cases 14: losses only, from the peak; 800 deposited leaves the P&L of the day."""
    desk = Desk()
    desk.book_fills(trade(0, 1000, 100))
    for minute in range(3):
        desk.value(at(60 * minute), "110")
    assert desk.read("max_drawdown").current == 0
    before = desk.value(at(300), "108")
    desk.book_fills(flow(301, 100_000))
    after = desk.value(at(302), "108")
    assert after.pnl_day == before.pnl_day
    assert after.drawdown == before.drawdown == round(Decimal(200_000) / 110_000, 6)


@pytest.mark.parametrize(
    ("drawdown", "level"),
    [("0", "LOW"), ("9.99", "LOW"), ("10", "MEDIUM"), ("15", "HIGH"), ("19.99", "HIGH"), ("20", "CRITICAL")],
)
def test_the_risk_level_follows_the_drawdown(drawdown: str, level: str) -> None:
    """R2.8."""
    desk = Desk()
    desk.book_fills(trade(0, 1000, 100))
    f = desk.value(at(1), Decimal(100) - Decimal(drawdown))
    assert (f.drawdown, f.risk_level) == (Decimal(drawdown), level)
    assert desk.value(at(2)).risk_level is None  # without a price nobody can say


def test_a_loss_before_midnight_and_one_after_are_two_days_and_one_rolling_loss() -> None:
    """Domain case 13: each day is within its limit, the 24 hours are not."""
    desk = Desk(account(calendar="24/7"))
    desk.book_fills(trade(0, 1000, 100, executed_at=datetime(2026, 11, 17, 12, 0, tzinfo=NOON.tzinfo)))
    for hour in range(12):
        desk.value(datetime(2026, 11, 17, 12 + hour, 0, tzinfo=NOON.tzinfo), "100")
    desk.value(datetime(2026, 11, 17, 23, 50, tzinfo=NOON.tzinfo), "97.1")
    assert desk.read("max_daily_loss").level is Level.WARN
    desk.value(datetime(2026, 11, 18, 0, 5, tzinfo=NOON.tzinfo), "94.3")
    assert desk.read("max_daily_loss").level is Level.WARN
    assert desk.read("max_loss_24h").current == Decimal("5.7")
    assert desk.read("max_loss_24h").level is Level.BREACH


def test_a_week_whose_start_nobody_saw_is_unknown_until_the_next() -> None:
    """Domain 2.6: a restart without a sourced start makes no fresh limit."""
    monday = date(2026, 11, 16)
    desk = Desk()
    desk.book_fills(trade(0, 10, 100, executed_at=noon(monday) - timedelta(days=5)))
    desk.value(noon(monday + timedelta(days=2)), "90")  # nothing of what went before is stored
    assert desk.read("max_weekly_loss").level is Level.UNKNOWN
    desk.value(noon(monday + timedelta(days=4)), "90")
    desk.value(noon(monday + timedelta(days=7)), "80")
    assert desk.read("max_weekly_loss").current == lost(Decimal(-100), Decimal(-200))
    week = desk.track.week
    assert week is not None
    assert week.source.startswith("last complete valuation, 2026-11-20")


@given(st.sampled_from(["XNYS", "CMES", "24/7", "XNSE"]), st.integers(0, 2000))
def test_the_first_session_of_a_week_and_month_is_the_first_one(name: str, offset: int) -> None:
    """R2.4: by the calendar, not by days of seven."""
    sessions = account(calendar=name).sessions
    day = sessions.session_of(NOON - timedelta(days=offset))
    for period, same in (
        ("week", lambda a, b: a.isocalendar()[:2] == b.isocalendar()[:2]),
        ("month", lambda a, b: (a.year, a.month) == (b.year, b.month)),
    ):
        first = first_session(sessions, day, period)
        assert first <= day
        assert same(first, day)
        assert sessions.is_session(first)
        assert not same(sessions.previous_session(first), day)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=150))
def test_samples_stay_few_and_still_know_a_valuation_before_each_window(minutes: list[int]) -> None:
    """R2.4: the guard's memory is bounded; what it compares with is never younger than the window."""
    samples: tuple[Sample, ...] = ()
    moment, everything = NOON, list[datetime]()
    for number, step in enumerate(minutes):
        moment += timedelta(minutes=step)
        samples = sampled(samples, moment, Decimal(number))
        everything.append(moment)
        assert len(samples) <= 60
        track = Track(samples=samples)
        for window, slack in ((timedelta(hours=24), 7), (timedelta(days=7), 7)):
            base = track.base(moment, window)
            assert base is not None
            used = everything[int(base)]
            if everything[0] <= moment - window:
                newest = max(t for t in everything if t <= moment - window)
                assert used <= moment - window
                assert newest - used <= timedelta(hours=slack)
            else:
                assert used == everything[0]


# --- a profit, and positions ---


@pytest.mark.parametrize(
    ("mark", "percent"), [("104", "3.636364"), ("100", "0"), ("95", "0"), ("105.5", "5")]
)
def test_the_profit_target_is_a_share_of_the_equity_at_the_start_of_the_day(mark: str, percent: str) -> None:
    """R2.4: 10,000 were made the day before; a loss is no profit; without a price it is unknown."""
    desk = Desk(account(limits={"daily_profit_target": {"limit": "5"}}))
    desk.book_fills(
        trade(0, 1000, 90, executed_at=noon(DAYS[0])), trade(1, -1000, 100, executed_at=noon(DAYS[0]))
    )
    desk.value(noon(DAYS[0]))
    desk.book_fills(trade(2, 1000, 100, executed_at=noon(DAYS[1])))
    desk.value(noon(DAYS[1]) + timedelta(minutes=1), mark)
    found = desk.read("daily_profit_target")
    assert found.current == Decimal(percent)
    assert found.level is (Level.BREACH if percent == "5" else Level.OK)
    desk.value(noon(DAYS[1]) + timedelta(minutes=2))
    assert desk.read("daily_profit_target").level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("units", "mark", "percent"), [(100, "93", 7), (-100, "107", 7), (100, "110", 0), (-50, "90", 0)]
)
def test_a_position_s_loss_is_of_what_it_cost_on_either_side(units: int, mark: str, percent: int) -> None:
    """R2.12: a short costs what it was sold for; a gain is no loss."""
    desk = Desk(account(profile="general"))
    desk.book_fills(trade(0, units, 100))
    desk.value(at(1), mark)
    assert desk.read("max_position_loss").current == percent
    desk.value(at(2))
    assert desk.read("max_position_loss").current is None


def test_a_daily_loss_in_money_is_unknown_where_the_day_is_and_0_in_a_profit() -> None:
    """R2.4, I7."""
    desk = Desk(account(limits={"max_daily_loss_money": {"limit": "500"}}))
    desk.book_fills(trade(0, 100, 100))
    for mark, loss in (("96", 400), ("95", 500), ("101", 0), (None, None)):
        desk.value(at(1), mark)
        assert desk.read("max_daily_loss_money").current == loss


def test_a_strategy_that_nobody_has_seen_yet_is_measured_from_0() -> None:
    """R2.3: its first valuation is a loss already."""
    desk = Desk(account(profile="general", risk={"strategy_capital": {"default": "5000"}}))
    desk.book_fills(trade(0, 100, 100))
    f = replace(desk.value(at(1), "95"), track=NEW)
    [reading] = [r for r in readings(f, {}) if r.limit.name == "max_strategy_drawdown"]
    assert reading.current == 10


# --- deposits and withdrawals ---

SHARES = ("max_daily_loss", "max_weekly_loss", "max_monthly_loss", "max_loss_24h", "max_loss_7d")


def desk_with(*marks: int) -> Desk:
    desk = Desk(account(profile="general"))
    desk.book_fills(trade(0, 1000, 100))
    for second, mark in enumerate(marks, 1):
        desk.value(at(second), Decimal(mark))
    return desk


def percentages(desk: Desk) -> list[Decimal | None]:
    return [desk.read(name).current for name in (*SHARES, "max_drawdown", "max_strategy_drawdown")]


@settings(max_examples=15)
@given(
    st.lists(st.integers(95, 105), min_size=4, max_size=8),
    st.lists(
        st.tuples(st.sampled_from([-60_000, -10_000, 1, 50_000, 900_000]), st.integers(90, 110)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_flow_moves_no_percentage_and_later_losses_are_of_the_money_that_is_there(
    marks: list[int], flows: list[tuple[int, int]]
) -> None:
    """R2.4, domain 2.6: the oracle chains the returns from flow to flow, from the start, where the P&L was 0."""
    desk, grown, base, mark = desk_with(*marks), Decimal(1), Decimal(100_000), Decimal(marks[-1])
    for number, (amount, next_mark) in enumerate(flows, 1):
        before = desk.value(at(100 * number), mark)
        stood = percentages(desk)
        assert before.equity is not None
        if before.equity + amount < 1000:
            continue
        desk.book_fills(flow(100 * number + 1, amount))
        after = desk.value(at(100 * number + 2), mark)
        assert percentages(desk) == pytest.approx(stood, abs=Decimal("0.000001"))
        assert after.pnl_day == before.pnl_day, "money is money"
        grown, base, mark = grown * before.equity / base, before.equity + amount, Decimal(next_mark)
        now = desk.value(at(100 * number + 3), mark)
        assert now.equity is not None
        loss = max((1 - grown * now.equity / base) * 100, Decimal(0))
        for name in SHARES:
            assert desk.read(name).current == pytest.approx(loss, abs=Decimal("0.000002"))


def test_a_withdrawal_trips_and_a_deposit_frees_nothing() -> None:
    """R2.4: 4 % lost of 5 % allowed; half is taken out. 6 % lost; as much again is paid in."""
    desk = desk_with(100, 96)
    desk.book_fills(flow(10, -48_000))
    desk.value(at(11), "96")
    assert (desk.read("max_daily_loss").current, desk.read("max_daily_loss").level) == (4, Level.WARN)
    desk = desk_with(100, 94)
    desk.book_fills(flow(10, 94_000))
    f = desk.value(at(11), "94")
    assert (desk.read("max_daily_loss").current, desk.read("max_daily_loss").level) == (6, Level.BREACH)
    assert f.pnl_day == -6000


@pytest.mark.parametrize("amount", [-97_999, -98_000, -99_000])
def test_taking_everything_out_after_a_loss_leaves_every_percentage(amount: int) -> None:
    """R2.4: 2 % stay 2 %, through what is paid in next as well; what is lost then is of that."""
    desk = desk_with(100, 98)
    desk.book_fills(trade(5, -1000, 98))
    desk.value(at(6))
    desk.book_fills(flow(10, amount))
    f = desk.value(at(11))
    assert f.equity == 98_000 + amount
    assert percentages(desk) == [2] * 7
    desk.book_fills(flow(20, 50_000 - 98_000 - amount))
    f = desk.value(at(21))
    assert f.equity == 50_000
    assert percentages(desk) == pytest.approx([Decimal(2)] * 7, abs=Decimal("0.000001"))
    desk.book_fills(trade(30, 100, 100), trade(31, -100, 95))
    desk.value(at(32))
    assert percentages(desk) == pytest.approx([Decimal("2.98")] * 7, abs=Decimal("0.000001"))


@pytest.mark.parametrize("taken", [0, 10_000, 150_000])
def test_taking_out_what_another_strategy_made_leaves_a_strategy_s_drawdown_in_proportion(taken: int) -> None:
    """R2.3: 900 lost with 255,000 less what was taken out."""
    desk = Desk()
    desk.book_fills(*round_trip(0, 15_000, strategy="a"), *round_trip(1, 500, strategy="b"))
    for second in (20, 21, 22):
        desk.value(at(second))
    desk.book_fills(flow(30, -taken))
    before = desk.value(at(31))
    desk.book_fills(trade(40, 10, 100, strategy="b"), trade(41, -10, 10, strategy="b"))
    f = desk.value(at(42))
    assert before.equity == 255_000 - taken
    found = {r.object: r.current for r in readings(f, {}) if r.limit.name == "max_strategy_drawdown"}
    assert found["a"] == 0
    assert found["b"] == round(Decimal(90_000) / (255_000 - taken), 6)


def test_a_flow_while_prices_are_missing_counts_with_the_next_complete_valuation() -> None:
    """I7: what is UNKNOWN moves nothing."""
    desk = desk_with(100, 96)
    desk.book_fills(flow(10, -48_000))
    desk.value(at(11))
    assert desk.read("max_daily_loss").level is Level.UNKNOWN
    desk.value(at(12), "96")
    assert desk.read("max_daily_loss").current == 4


def test_the_first_money_of_an_account_is_what_its_losses_are_of() -> None:
    """R2.4: without capital in the settings, funded by its first fill."""
    desk = Desk(account(capital="0"))
    desk.value(at(0))
    desk.book_fills(flow(1, 50_000), trade(2, 100, 100))
    desk.value(at(3), "90")
    assert desk.read("max_daily_loss").current == 2


def test_a_start_by_a_version_that_moved_none_reads_as_it_was() -> None:
    """A document of before stays readable."""
    assert decode_start(["2026-11-18", "7", "ledger"]) == DayStart(date(2026, 11, 18), Decimal(7), "ledger")


# --- the beginning ---


def test_an_account_that_is_valued_first_after_a_loss_has_lost_it_within_24_hours() -> None:
    """R2.4: it began with a P&L of 0 today. Of an older one nobody saw when it lost."""
    desk = Desk()
    desk.book_fills(trade(0, 1000, 100))
    desk.value(at(1), "94")
    assert desk.read("max_loss_24h").current == desk.read("max_loss_7d").current == 6
    desk = Desk()
    desk.book_fills(trade(0, 1000, 100, executed_at=NOON - timedelta(days=3)))
    desk.value(at(1), "94")
    assert desk.read("max_loss_24h").current == 0


# --- strategies ---


def round_trip(number: int, made: int, **more: object) -> list[Fill]:
    start = 10 * number
    return [trade(start, 10, 100, **more), trade(start + 1, -10, 100 + made, **more)]


def test_a_strategy_s_drawdown_is_its_own_and_of_its_capital() -> None:
    """R2.3, R2.4: 15 % of what the strategy was given; the other one is untouched."""
    made = account(profile="general", risk={"strategy_capital": {"trend": "10000"}})
    desk = Desk(made)
    desk.book_fills(*round_trip(0, 200, strategy="trend"), *round_trip(1, 1, strategy="income"))
    for second in (20, 21, 22):
        desk.value(at(second))
    desk.book_fills(trade(30, 100, 100, strategy="trend"), trade(31, -100, 82, strategy="trend"))
    f = desk.value(at(40))
    found = {r.object: r for r in readings(f, {}) if r.limit.name == "max_strategy_drawdown"}
    assert f.strategies == {"trend": 200, "income": 10}
    assert found["trend"].current == 15  # 1,800 of 10,000 + the peak of 2,000
    assert (found["trend"].level, found["income"].level) == (Level.BREACH, Level.OK)


def test_a_person_s_reset_makes_what_is_the_peak() -> None:
    """Domain 2.4: an inflated peak has a way out, audited as a change of settings."""
    desk = Desk()
    desk.book_fills(trade(0, 1000, 100))
    for second in range(4):
        desk.value(at(second), "150")
    desk.value(at(9), "120")
    assert desk.read("max_drawdown").current == 20
    desk.account = account(risk={"peaks_since": "2026-11-18T17:00:10Z"})
    desk.value(at(11), "120")
    assert desk.read("max_drawdown").current == 0
    desk.value(at(12), "108")
    assert desk.read("max_drawdown").current == 10
