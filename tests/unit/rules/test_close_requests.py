"""Close requests: which units they mean, how they overlap with each other and with a halt, and when they have ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.adapters.schemas import TABLES
from stopline.ledger.amend import effective
from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import ClosingState, RequestStatus
from stopline.model.fill import Fill
from stopline.model.increments import Increments
from stopline.model.messages import Command, CommandAction, ExecutionReport, ReportStatus
from stopline.model.prices import Quote
from stopline.model.settings.closing import ClosingSettings
from stopline.model.settings.exits import ExitSettings
from stopline.rules.closing.commands import Step, advance
from stopline.rules.closing.executions import facts, slippage, with_fills
from stopline.rules.closing.halts import holds
from stopline.rules.closing.order import Resting, Situation
from stopline.rules.closing.sent import GRACE, with_report
from stopline.rules.exits.plan import plan_of

from ..make import NOON, account, at, equity, option, trade

SESSION_OF = account().sessions.session_of
SHORT, LONG = option(6000), option(5990)
QUOTES = {
    SHORT.symbol: Quote(10, 9.8, 10.2),
    LONG.symbol: Quote(8, 7.9, 8.1),
    "SPY": Quote(100, 99.9, 100.1),
}


class Desk:
    """A book, and what is being closed of it."""

    def __init__(self, *fills: Fill, **settings: Any) -> None:
        self.fills = list(fills)
        self.state = ClosingState(account="demo")
        self.settings = ClosingSettings.model_validate(settings)
        self.exits = ExitSettings()
        self.now = NOON
        self.quotes: dict[str, Quote] = dict(QUOTES)
        self.trading = True
        self.halting = False
        self.alerts: list[str] = []
        self.increments: dict[str, Increments] = {}
        self.resting: Resting | None = None
        self.resumed: datetime | None = None
        self.halts: dict[str, int] = {}  # of parts, by their epoch
        self.changes = 0  # of the trading state of anything else

    def halted(self, position: Position) -> bool:
        return self.halting or any(holds(scope, [position]) for scope in self.halts)

    @property
    def book(self) -> Book:
        return Book("demo").with_fills(self.fills, SESSION_OF, lambda _p, _f: [], at(10**6))

    def step(self, *new: CloseRequest) -> Step:
        stand = [step.fill for step in effective(self.fills)]
        sent = {id_: with_fills(s, stand) for id_, s in self.state.sent.items()}
        situation = Situation(
            self.book,
            self.settings,
            self.now,
            (2 if self.halting else 1) + len(self.halts) + self.changes,
            self.quotes,
            self.trading,
            halted=self.halted,
            halts={"account:demo": 2} if self.halting else self.halts,
            increments=self.increments,
            resting=lambda _: self.resting,
            own=lambda strategy, trade_id: plan_of(self.exits, strategy, trade_id).closing,
            resumed=lambda strategy: self.resumed if strategy == "core" else None,
        )
        step = advance(self.state.model_copy(update={"sent": sent}), situation, new)
        self.state = step.state
        self.alerts += [alert.kind for alert in step.alerts]
        return step

    def ask(self, id_: str = "R-1", **named: Any) -> list[Command]:
        facts = {
            "request_id": id_,
            "account": "demo",
            "rule": "stop_loss",
            "reason": "x",
            "cause": "c",
            **named,
        }
        return closes(self.step(CloseRequest.model_validate({**facts, "requested_at": self.now.isoformat()})))

    def wait(self, seconds: float) -> list[Command]:
        self.now += timedelta(seconds=seconds)
        return closes(self.step())

    def execute(self, command: Command, units: int | None = None, price: str = "100") -> None:
        assert command.instrument
        assert command.quantity
        self.now += timedelta(seconds=1)
        done = Decimal(units) if units else command.quantity
        more = {"order_id": command.command_id, "group_id": command.group_id, "executed_at": self.now}
        signed = done if command.side == "BUY" else -done
        number = 500 + len(self.fills)
        self.fills.append(
            trade(number, signed, price, instrument=command.instrument, strategy=command.strategy, **more)
        )

    def report(self, command: Command, status: str, filled: str | None = None, reason: str = "") -> None:
        report = ExecutionReport(
            command_id=command.command_id,
            account="demo",
            broker="paper",
            status=ReportStatus(status),
            filled=None if filled is None else Decimal(filled),
            reason=reason,
            reported_at=self.now,
        )
        sent = self.state.sent[command.command_id]
        known = {**self.state.sent, command.command_id: with_report(sent, report)}
        self.state = self.state.model_copy(update={"sent": known})

    def status(self, id_: str = "R-1") -> RequestStatus:
        return self.state.asked[id_].status


def closes(step: Step) -> list[Command]:
    return [c for c in step.commands if c.action is CommandAction.CLOSE]


def said(commands: Sequence[Command]) -> list[tuple[str, str, Decimal]]:
    return [(c.instrument.symbol, c.side or "", c.quantity or Decimal(0)) for c in commands if c.instrument]


# --- scopes ---


def test_a_strategy_is_closed_and_the_others_stay() -> None:
    """R4.5, domain 2.4: the user expected the strategy, not the account."""
    desk = Desk(trade(1, 5, 100, strategy="a"), trade(2, 7, 100, strategy="b"))
    [command] = desk.ask(strategy="a")
    assert (command.strategy, command.quantity) == ("a", 5)
    desk.execute(command)
    desk.step()
    assert desk.status() is RequestStatus.CLOSED
    assert desk.alerts == ["closed"]


def test_a_part_of_a_position_is_closed_down_to_a_level() -> None:
    desk = Desk(trade(1, 5, 100))
    [command] = desk.ask(strategy="default", symbol="SPY", leave="3")
    assert said([command]) == [("SPY", "SELL", 2)]
    desk.execute(command)
    assert desk.wait(1) == []
    assert desk.status() is RequestStatus.CLOSED


def test_a_trade_is_closed_with_all_its_legs_in_its_proportions() -> None:
    fills = [
        trade(1, -4, 10, instrument=SHORT, group_id="G"),
        trade(2, 4, 8, instrument=LONG, group_id="G"),
        trade(3, -1, 10, instrument=SHORT, group_id="H"),
        trade(4, 1, 8, instrument=LONG, group_id="H"),
    ]
    desk = Desk(*fills)
    wanted = next(t for t in desk.book.open_trades() if t.quantity == 4)
    [buy] = desk.ask(strategy="default", trade_id=wanted.trade_id, leave="3")
    assert said([buy]) == [(SHORT.symbol, "BUY", 1)]
    assert buy.group_id == "G"
    desk.execute(buy, price="10")
    [sell] = desk.wait(1)
    assert said([sell]) == [(LONG.symbol, "SELL", 1)]
    desk.execute(sell, price="8")
    assert desk.wait(1) == []
    assert desk.status() is RequestStatus.CLOSED
    assert [t.legs[0].quantity for t in desk.book.open_trades()] == [-3, -1]


def test_a_trade_that_shares_its_position_is_not_closed_twice_when_fills_count_for_the_other() -> None:
    """Two trades by order id in one symbol: the book gives the closing fill to the older one."""
    desk = Desk(
        trade(1, 3, 100, instrument=equity(), order_id="A"),
        trade(2, 2, 100, instrument=equity(), order_id="B", strategy="default"),
    )
    trades = desk.book.open_trades()
    request = {"strategy": "default", "trade_id": trades[-1].trade_id}
    commands = desk.ask(**request)
    total = sum((c.quantity or Decimal(0) for c in commands), Decimal(0))
    for command in commands:
        desk.execute(command)
    assert desk.wait(1) == []
    assert desk.wait(120) == []
    assert desk.book.net_quantity("SPY") == 5 - total


def test_a_late_fill_of_the_opening_is_closed_with_the_trade() -> None:
    """R4.5: what was asked to be closed wholly is closed wholly, also where the broker tells of its opening in parts."""
    before = [at(seconds) for seconds in (-30, -20, -10)]
    desk = Desk(
        trade(1, 3, 100, order_id="A", executed_at=before[0]),
        trade(2, 2, 100, order_id="B", executed_at=before[1]),
    )
    newest = desk.book.open_trades()[-1]
    [command] = desk.ask(strategy="default", trade_id=newest.trade_id)
    desk.fills.append(trade(3, 6, 100, order_id="B", executed_at=before[2]))
    desk.execute(command)
    [again] = desk.wait(1)
    assert desk.status() is RequestStatus.CLOSING
    desk.execute(again)
    assert desk.wait(1) == []
    assert desk.status() is RequestStatus.CLOSED
    assert (command.quantity, again.quantity, desk.book.net_quantity("SPY")) == (2, 6, 3)


def test_a_trade_that_nobody_knows_is_refused_aloud() -> None:
    desk = Desk(trade(1, 3, 100))
    assert desk.ask(strategy="default", trade_id="T-x") == []
    assert desk.status() is RequestStatus.REFUSED
    assert desk.alerts == ["closing_refused"]


def test_the_same_request_again_closes_nothing_that_was_opened_since() -> None:
    """F44: a late duplicate of a request that has ended."""
    desk = Desk(trade(1, 3, 100))
    [command] = desk.ask(strategy="default")
    desk.execute(command)
    desk.step()
    desk.fills.append(trade(900, 2, 100, executed_at=at(900)))
    assert desk.ask(strategy="default") == []


# --- overlaps ---


def test_requests_that_overlap_sum_to_no_more_than_the_position() -> None:
    """Issue 7.3: an exit of a part, an exit of the strategy, and a kill."""
    desk = Desk(trade(1, 5, 100))
    assert said(desk.ask("R-1", strategy="default", symbol="SPY", leave="3")) == [("SPY", "SELL", 2)]
    assert said(desk.ask("R-2", strategy="default")) == [("SPY", "SELL", 3)]
    desk.halting = True
    assert closes(desk.step()) == []
    [again] = desk.wait(GRACE.total_seconds())  # the kill has cancelled both
    assert (again.quantity, again.epoch) == (5, 2)


def test_two_exits_of_one_trade_leave_the_other_trade_of_the_position_alone() -> None:
    """Issue 7.3, R4.5: a stop goes over a target that is out already, and both mean the same 5 units."""
    desk = Desk(
        trade(1, 5, 100, group_id="A", instrument=equity()),
        trade(2, 5, 100, group_id="B", instrument=equity()),
    )
    older, newer = desk.book.open_trades()
    commands = desk.ask("R-1", trade_id=older.trade_id, strategy="default", rule="target", urgency="normal")
    commands += desk.ask("R-2", trade_id=older.trade_id, strategy="default", urgency="urgent")
    assert sum(c.quantity or Decimal(0) for c in commands) == 5
    for command in commands:
        desk.execute(command)
    assert desk.wait(1) == []
    assert desk.wait(300) == []
    assert [(t.trade_id, t.legs[0].quantity) for t in desk.book.open_trades()] == [(newer.trade_id, 5)]
    assert (desk.status("R-1"), desk.status("R-2")) == (RequestStatus.CLOSED, RequestStatus.CLOSED)
    commands = desk.ask("R-3", trade_id=newer.trade_id, strategy="default")
    assert sum(c.quantity or Decimal(0) for c in commands) == 5


@pytest.mark.parametrize("first", ["strategy", "position"])
def test_a_trade_of_what_is_closed_already_sells_no_more_than_is_held(first: str) -> None:
    """Issue 7.3, R5.1: the trade's units are within the strategy's, however much of them is out already."""
    desk = Desk(trade(1, 5, 100, order_id="A"), trade(2, 2, 100, order_id="B"))
    of = desk.book.open_trades()[0]
    all_of_it = {"strategy": "default"} | ({"symbol": "SPY"} if first == "position" else {})
    commands = desk.ask("R-1", **all_of_it)
    commands += desk.ask("R-2", strategy="default", trade_id=of.trade_id)
    assert sum(c.quantity or Decimal(0) for c in commands) == 7
    for command in commands:
        desk.execute(command)
    assert desk.wait(1) == []
    assert desk.wait(300) == []
    assert desk.book.net_quantity("SPY") == 0
    assert (desk.status("R-1"), desk.status("R-2")) == (RequestStatus.CLOSED, RequestStatus.CLOSED)


def test_resting_orders_of_a_position_that_is_closed_are_cancelled_first() -> None:
    """Domain 2.4: a resting stop that fills as well would turn the position round."""
    desk = Desk(trade(1, 5, 100))
    facts = {
        "request_id": "R-1",
        "account": "demo",
        "strategy": "default",
        "rule": "stop",
        "reason": "x",
        "cause": "c",
    }
    step = desk.step(CloseRequest.model_validate({**facts, "requested_at": NOON.isoformat()}))
    assert [c.action for c in step.commands] == [CommandAction.CANCEL_ALL, CommandAction.CLOSE]
    assert (step.commands[0].strategy, step.commands[0].instrument) == ("default", equity())
    assert [c.action for c in desk.step().commands] == []


# --- order types ---


@pytest.mark.parametrize(
    ("tick", "limit"), [(None, "10.31"), ("0.05", "10.35"), ("0.25", "10.5"), ("3", "12")], ids=str
)
@pytest.mark.parametrize("known", [f"option:{SHORT.underlying}", f"option:{SHORT.symbol}"])
def test_a_limit_price_is_on_the_tick_that_the_account_knows(
    known: str, tick: str | None, limit: str
) -> None:
    """R8.4: a broker refuses a price off the tick; rounded away from the mark, so that it is not tighter."""
    desk = Desk(trade(1, -2, 3, instrument=SHORT), collar_min="0", collar_pct="1.04", collar_max_pct="50")
    desk.increments = {} if tick is None else {known: Increments.model_validate({"tick": tick})}
    [command] = desk.ask(strategy="default")
    assert command.limit_price == Decimal(limit)


@pytest.mark.parametrize(
    ("bid", "tick", "limit"), [(99.9, "0.05", "99.75"), (99.9, "0.5", "99.5"), (0.03, "0.05", "0.05")]
)
def test_a_sale_is_rounded_down_to_the_tick_and_never_to_nothing(bid: float, tick: str, limit: str) -> None:
    desk = Desk(trade(1, 10, 100), collar_min="0", collar_pct="0.12", collar_max_pct="50")
    desk.quotes["SPY"] = Quote(bid + 0.1, bid, bid + 0.2)
    desk.increments = {"equity:SPY": Increments.model_validate({"tick": tick})}
    [command] = desk.ask(strategy="default")
    assert command.limit_price == Decimal(limit)


def test_a_normal_close_is_limited_by_a_collar_that_widens() -> None:
    """R8.4: 1 % of the mark beyond the far side, doubled with each retry, 20 % of the mark at most."""
    desk = Desk(trade(1, 5, 100))
    limits = [desk.ask(strategy="default")[0].limit_price]
    for _ in range(6):
        limits += [c.limit_price for c in desk.wait(160)]
    assert limits == [Decimal(x) for x in ("98.9", "97.9", "95.9", "91.9", "83.9", "80", "80")]


@pytest.mark.parametrize(
    ("urgency", "types"),
    [("normal", ["LIMIT"] * 2), ("urgent", ["LIMIT", "MARKET"]), ("now", ["MARKET"] * 2)],
)
def test_urgency_says_when_the_market_is_taken(urgency: str, types: list[str]) -> None:
    desk = Desk(trade(1, -5, 100))
    commands = [*desk.ask(strategy="default", urgency=urgency), *desk.wait(40)]
    assert [c.order_type for c in commands] == types


@pytest.mark.parametrize("urgency", ["normal", "urgent", "now"])
def test_an_account_may_choose_the_market_for_everything(urgency: str) -> None:
    """R8.4: market or limit choice in close commands; then a missing price does not wait either."""
    desk = Desk(trade(1, -5, 100), exit_order="MARKET")
    desk.quotes.clear()
    [command] = desk.ask(strategy="default", urgency=urgency)
    assert (command.order_type, command.limit_price) == ("MARKET", None)


def test_without_a_price_a_normal_close_waits_and_says_so_once() -> None:
    desk = Desk(trade(1, 5, 100))
    desk.quotes.clear()
    assert desk.ask(strategy="default") == []
    assert desk.wait(60) == []
    assert desk.alerts == ["closing_waits"]
    desk.quotes = dict(QUOTES)
    assert len(desk.wait(60)) == 1


def test_with_the_market_closed_even_a_kill_waits_unless_prices_move() -> None:
    desk = Desk(trade(1, 5, 100))
    desk.quotes.clear()
    desk.trading, desk.halting = False, True
    assert closes(desk.step()) == []
    assert desk.alerts == ["closing_waits"]
    desk.quotes = dict(QUOTES)
    assert len(desk.wait(60)) == 1


# --- spreads ---


def test_a_broker_that_takes_spreads_gets_one_order_and_then_leg_by_leg() -> None:
    """R4.5: as a unit; after two refusals shorts first."""
    desk = Desk(trade(1, -4, 10, instrument=SHORT), trade(2, 2, 8, instrument=LONG), multi_leg=True)
    [one] = desk.ask(strategy="default")
    assert (one.quantity, one.instrument) == (2, None)
    assert [(leg.instrument.symbol, leg.side, leg.ratio) for leg in one.legs] == [
        (SHORT.symbol, "BUY", 2),
        (LONG.symbol, "SELL", 1),
    ]
    assert one.limit_price == 2 * Decimal("10.3") - Decimal("7.82")
    desk.report(one, "rejected", reason="no combos")
    assert [len(c.legs) for c in desk.wait(5)] == [2]
    desk.report(_last(desk), "rejected")
    assert said(desk.wait(10)) == [(SHORT.symbol, "BUY", 4)]


def _last(desk: Desk) -> Command:
    sent = list(desk.state.sent.values())[-1]
    return Command(
        command_id=sent.command_id,
        account="demo",
        action=CommandAction.CLOSE,
        epoch=1,
        issued_at=sent.issued_at,
        expires_at=sent.expires_at,
    )


def test_cover_in_other_units_than_the_long_option_s_is_counted_in_whole_ones() -> None:
    """R4.5: 20 shares of another strategy beside calls on 15 each cover one of them, and a third of another."""
    short, long = (
        option(strike, "C", root="X").model_copy(update={"multiplier": Decimal(15)}) for strike in (110, 120)
    )
    shares = trade(3, 20, 100, instrument=equity("X"), strategy="other")
    desk = Desk(trade(1, -2, 10, instrument=short), trade(2, 2, 8, instrument=long), shares)
    desk.quotes |= {short.symbol: QUOTES["SPY"], long.symbol: QUOTES["SPY"]}
    assert said(desk.ask(strategy="default")) == [(short.symbol, "BUY", 2), (long.symbol, "SELL", 1)]


def test_a_leg_that_the_broker_sold_first_is_told_at_once() -> None:
    """Domain 2.4: the broker closed one leg; the other one is naked."""
    desk = Desk(trade(1, -2, 10, instrument=SHORT), trade(2, 2, 8, instrument=LONG), multi_leg=True)
    [one] = desk.ask(strategy="default")
    desk.fills.append(trade(900, -2, 8, instrument=LONG, order_id=one.command_id, executed_at=at(900)))
    desk.step()
    assert desk.alerts == ["leg_alone"]
    desk.fills.append(trade(901, 1, 9, instrument=SHORT, order_id=one.command_id, executed_at=at(901)))
    desk.step()
    assert desk.alerts == ["leg_alone"]
    desk.fills.append(trade(902, 1, 9, instrument=SHORT, order_id=one.command_id, executed_at=at(902)))
    [over] = [alert for alert in desk.step().alerts if alert.kind == "leg_alone"]
    assert (over.object, over.resolved, over.severity.value) == (SHORT.underlying, True, "info")
    desk.step()
    assert desk.alerts.count("leg_alone") == 2


# --- what brokers say ---


def test_a_rejected_command_is_tried_again_after_seconds_and_people_hear_of_the_third() -> None:
    """F43, R8.4: 5, 10, 20 s; never given up."""
    desk = Desk(trade(1, 5, 100))
    desk.ask(strategy="default")
    for seconds in (5, 10, 20):
        desk.report(_last(desk), "rejected", reason="no liquidity")
        assert desk.wait(seconds - 1) == []
        assert len(desk.wait(1)) == 1
    assert desk.alerts == ["closing_stuck", "closing_stuck"]


def test_what_was_stuck_is_told_to_be_over_once_it_is() -> None:
    """R6.3: the critical alert has an end, whether the fills come or people take the request back."""
    desk = Desk(trade(1, 5, 100))
    desk.ask(strategy="default")
    sent = []
    for seconds in (5, 10):
        desk.report(_last(desk), "rejected")
        sent = desk.wait(seconds)
    assert desk.alerts == ["closing_stuck"]
    desk.execute(sent[0])
    ends = [alert for alert in desk.step().alerts if alert.kind == "closing_stuck"]
    assert [(end.resolved, end.object, end.severity) for end in ends] == [(True, "account:demo", "info")]
    desk.wait(60)
    assert desk.alerts.count("closing_stuck") == 2


def test_a_partial_fill_is_followed_up_by_the_rest() -> None:
    desk = Desk(trade(1, 5, 100))
    [command] = desk.ask(strategy="default")
    desk.execute(command, 2)
    desk.report(command, "cancelled", filled="2")
    assert said(desk.wait(9)) == [("SPY", "SELL", 3)]


def test_a_cancel_whose_fills_have_not_come_holds_them_back() -> None:
    """F44: two of five were executed, and their fills are on the way."""
    desk = Desk(trade(1, 5, 100))
    [command] = desk.ask(strategy="default")
    desk.report(command, "cancelled", filled="2")
    assert said(desk.wait(9)) == [("SPY", "SELL", 3)]
    desk.execute(command, 2)
    assert desk.wait(1) == []


def test_more_fills_than_were_asked_for_are_told() -> None:
    desk = Desk(trade(1, 5, 100))
    [command] = desk.ask(strategy="default", symbol="SPY", leave="3")
    desk.execute(command)
    desk.execute(command)
    desk.step()
    assert "overfilled" in desk.alerts


# --- the execution log ---


def test_a_row_of_the_log_has_the_columns_of_its_table() -> None:
    """R7.2, F52."""
    desk = Desk(trade(1, 5, 100))
    desk.ask(strategy="default")
    [sent] = desk.state.sent.values()
    assert set(facts("demo", sent, sent.legs[0], desk.now)) == set(TABLES["executions"])


def test_slippage_is_against_the_mark_and_positive_when_adverse() -> None:
    """R7.2: sold 5 at 99.40 against a mark of 100: 3.00 money, 60 bps; worked out by hand."""
    desk = Desk(trade(1, 5, 100))
    [command] = desk.ask(strategy="default")
    desk.execute(command, price="99.4")
    desk.step()
    [sent] = desk.state.sent.values()
    found = slippage(sent.legs[0])
    assert found is not None
    assert (found.money, found.bps) == (Decimal("3.0"), 60)
    row = facts("demo", sent, sent.legs[0], desk.now)
    assert (row["status"], row["filled_pct"], row["delay_s"], row["retries"]) == ("filled", 100, 1, 0)
    assert (row["requested_price"], row["filled_price"]) == (100, Decimal("99.4"))
    assert row["spread"] == Decimal("0.2")


def test_what_was_not_executed_has_no_slippage() -> None:
    """I7."""
    desk = Desk(trade(1, -5, 100))
    [command] = desk.ask(strategy="default")
    desk.report(command, "rejected", reason="closed")
    desk.step()
    [sent] = [s for s in desk.state.sent.values() if s.ended_at]
    row = facts("demo", sent, sent.legs[0], desk.now)
    assert (row["status"], row["slippage_bps"], row["filled_price"], row["error"]) == (
        "rejected",
        None,
        None,
        "closed",
    )
