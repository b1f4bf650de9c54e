"""The rules a broker adapter has to keep, one test each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from emulators.broker_link import serve_embedded
from emulators.paper_broker import PaperBroker
from emulators.paper_orders import Misbehaviour, Order, Status
from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus
from stopline.model.control import TradingState
from stopline.model.fill import Fill, Side
from stopline.model.instrument import Instrument, Kind
from stopline.model.messages import Command, CommandAction, ExecutionReport, Halt
from stopline.model.prices import Quote
from stopline.model.wire import canonical
from stopline.ports import Outgoing, Unavailable

NOW = datetime(2018, 2, 5, 15, 0, tzinfo=UTC)
AAPL = Instrument(symbol="AAPL", kind=Kind.EQUITY, currency="USD")
PUT = Instrument(
    symbol="SPXW180205P02680000",
    kind=Kind.OPTION,
    currency="USD",
    multiplier=Decimal(100),
    underlying="SPX",
    expiry=date(2018, 2, 5),
    strike=Decimal(2680),
    right="P",
)
QUOTES = {"AAPL": Quote(100.0, 99.9, 100.1), PUT.symbol: Quote(2.5)}


class Desk:
    """A broker with prices, a trading state that can be set, and a record of what it published."""

    def __init__(self, **misbehaviour: Any) -> None:
        self.state: TradingState | Exception = TradingState.ACTIVE
        self.asked: list[tuple[str, str, str]] = []
        self.state_of: Callable[[str, str, str], TradingState] | None = None
        self.broker = PaperBroker(self._state, misbehaviour=Misbehaviour(**misbehaviour))
        self.broker.price(QUOTES, NOW)
        self.published: list[Fill] = []

    def halt(self, id_: str, scope: str) -> Status:
        halt = Halt(halt_id=id_, scope=scope, actor="ann", reason="x", issued_at=NOW)
        report = self.broker.message(canonical(halt.model_dump(mode="json")), NOW)
        assert report is not None
        return report.status

    def _state(self, account: str, strategy: str, underlying: str) -> TradingState:
        self.asked.append((account, strategy, underlying))
        if self.state_of is not None:
            return self.state_of(account, strategy, underlying)
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def order(self, id_: str, side: Side, quantity: int, at: datetime = NOW, **more: Any) -> Status:
        order = Order(id_, "demo", more.pop("instrument", AAPL), side, Decimal(quantity), **more)
        return self.broker.order(order, at).status

    def close(self, id_: str, side: Side, quantity: int, at: datetime = NOW, **more: Any) -> Status:
        return self.broker.command(close(id_, side, quantity, **more), at).status

    def flush(self, at: datetime = NOW) -> list[Fill]:
        """Return what is published at a moment."""
        before = len(self.published)
        self.broker.flush(at, self.published.append)
        return self.published[before:]

    @property
    def held(self) -> Decimal:
        return self.broker.position("demo", "default", "AAPL")


def close(id_: str, side: Side, quantity: int, **more: Any) -> Command:
    facts: dict[str, Any] = {
        "command_id": id_,
        "account": "demo",
        "action": CommandAction.CLOSE,
        "epoch": 1,
        "strategy": "default",
        "instrument": AAPL,
        "side": side.value,
        "quantity": Decimal(quantity),
        "issued_at": NOW,
        "expires_at": NOW + timedelta(seconds=30),
    }
    return Command(**{**facts, **more})


def cancel_all(epoch: int = 1) -> Command:
    return close("cancel", Side.BUY, 1, action=CommandAction.CANCEL_ALL, epoch=epoch)


# --- executions --------------------------------------------------------------------------------------------


def test_a_market_order_trades_at_the_far_side_of_the_quote_with_its_fee() -> None:
    """R1.5: a buy pays the ask, a sale gets the bid, and the fee is per share."""
    desk = Desk()
    assert desk.order("o-1", Side.BUY, 10) is Status.FILLED
    assert desk.order("o-2", Side.SELL, 4) is Status.FILLED
    bought, sold = desk.flush()
    assert (bought.fill_id, bought.price, bought.fee) == ("o-1-1", Decimal("100.1"), Decimal("0.05"))
    assert (sold.fill_id, sold.price, sold.signed_quantity) == ("o-2-1", Decimal("99.9"), Decimal(-4))
    assert desk.held == 6


def test_without_a_quote_it_trades_at_the_last_price_and_pays_per_contract() -> None:
    desk = Desk()
    assert desk.order("o-1", Side.SELL, 2, instrument=PUT) is Status.FILLED
    (fill,) = desk.flush()
    assert (fill.price, fill.fee) == (Decimal("2.5"), Decimal("1.30"))


def test_an_order_without_any_price_is_refused() -> None:
    other = AAPL.model_copy(update={"symbol": "MSFT", "underlying": "MSFT"})
    assert Desk().order("o-1", Side.BUY, 1, instrument=other) is Status.REFUSED


def test_a_limit_order_waits_for_its_price() -> None:
    """R8.4: market or limit."""
    desk = Desk()
    assert desk.order("o-1", Side.BUY, 1, limit=Decimal("99.5")) is Status.WORKING
    assert desk.flush() == []
    (report,) = desk.broker.price({"AAPL": Quote(99.3, 99.2, 99.4)}, NOW)
    assert report.status is Status.FILLED
    assert [fill.price for fill in desk.flush()] == [Decimal("99.4")]


def test_an_order_that_comes_again_is_not_executed_again() -> None:
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    assert desk.order("o-1", Side.BUY, 10) is Status.DUPLICATE
    assert len(desk.flush()) == 1
    assert desk.held == 10


# --- commands ----------------------------------------------------------------------------------------------


def test_a_command_that_comes_again_is_not_executed_again() -> None:
    """F06, R5.1, R8.4: Pub/Sub delivers at least once, the broker executes at most once."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    assert desk.close("c-1", Side.SELL, 4) is Status.FILLED
    assert desk.close("c-1", Side.SELL, 4) is Status.DUPLICATE
    assert [fill.fill_id for fill in desk.flush()] == ["o-1-1", "c-1-1"]
    assert desk.held == 6


def test_a_command_of_an_older_epoch_is_dropped() -> None:
    """R5.1: what was sent before the newest change of state must not be carried out after it."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    assert desk.broker.command(cancel_all(epoch=3), NOW).status is Status.FILLED
    assert desk.close("c-1", Side.SELL, 10, epoch=2) is Status.DROPPED
    assert desk.close("c-2", Side.SELL, 10, epoch=3) is Status.FILLED


def test_epochs_of_accounts_have_nothing_to_do_with_each_other() -> None:
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.broker.command(close("c-1", Side.SELL, 1, account="other", epoch=9), NOW)
    assert desk.close("c-2", Side.SELL, 10, epoch=1) is Status.FILLED


def test_an_expired_command_is_dropped() -> None:
    """R8.4: the next round is on its way, two must never work at once."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    assert desk.close("c-1", Side.SELL, 10, at=NOW + timedelta(seconds=30)) is Status.DROPPED
    assert desk.held == 10


def test_a_command_that_waits_for_a_price_expires_too() -> None:
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    more: dict[str, Any] = {"order_type": "LIMIT", "limit_price": Decimal(120)}
    assert desk.close("c-1", Side.SELL, 10, **more) is Status.WORKING
    (report,) = desk.broker.price({"AAPL": Quote(130.0)}, NOW + timedelta(seconds=31))
    assert report.status is Status.DROPPED
    assert desk.held == 10


@pytest.mark.parametrize(("held", "side"), [(10, Side.SELL), (-10, Side.BUY)])
def test_a_close_never_passes_zero(held: int, side: Side) -> None:
    """R4.5, R5.3: reduce-only against the broker's own position, long and short."""
    desk = Desk()
    desk.order("o-1", Side.BUY if held > 0 else Side.SELL, 10)
    assert desk.close("c-1", side, 25) is Status.FILLED
    assert desk.held == 0
    assert desk.close("c-2", side, 25) is Status.DROPPED
    assert [fill.quantity for fill in desk.flush()] == [Decimal(10), Decimal(10)]


def test_a_close_to_the_wrong_side_is_dropped() -> None:
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    assert desk.close("c-1", Side.BUY, 10) is Status.DROPPED


def test_a_close_of_one_strategy_leaves_the_others_alone() -> None:
    """R1.1: positions are held per strategy."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.order("o-2", Side.BUY, 5, strategy="core")
    assert desk.close("c-1", Side.SELL, 15, strategy="core") is Status.FILLED
    assert desk.held == 10
    assert desk.broker.position("demo", "core", "AAPL") == 0


def test_cancel_adding_leaves_what_only_reduces() -> None:
    """R5.1: a pause takes back entries, not protective stops."""
    desk = Desk()
    desk.order("held", Side.BUY, 10)
    entry = desk.order("entry", Side.BUY, 5, limit=Decimal(90))
    target = desk.order("target", Side.SELL, 10, limit=Decimal(120))
    assert (entry, target) == (Status.WORKING, Status.WORKING)
    command = cancel_all().model_copy(update={"action": CommandAction.CANCEL_ADDING})
    assert "1 working" in desk.broker.command(command, NOW).reason
    found = [desk.broker.report(id_) for id_ in ("entry", "target")]
    assert [report.status for report in found if report] == [Status.CANCELLED, Status.WORKING]


def test_cancel_all_takes_back_what_is_working() -> None:
    """R5.3: cancel, then close."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 1, limit=Decimal(90))
    desk.order("o-2", Side.BUY, 1, limit=Decimal(90))
    assert "2 working" in desk.broker.command(cancel_all(), NOW).reason
    assert desk.broker.price({"AAPL": Quote(80.0)}, NOW) == []
    report = desk.broker.report("o-1")
    assert report is not None
    assert report.status is Status.CANCELLED


def test_a_message_that_is_no_command_is_noted_and_harms_nothing() -> None:
    desk = Desk()
    assert desk.broker.message(b'{"type": "stopline.command.v1"}', NOW) is None
    assert "BAD_MESSAGE" in desk.broker.unreadable[0]


# --- the trading state -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "adds", "reduces"),
    [
        (TradingState.ACTIVE, Status.FILLED, Status.FILLED),
        (TradingState.REDUCING, Status.REFUSED, Status.FILLED),
        (TradingState.HALTED, Status.REFUSED, Status.REFUSED),
        (Unavailable("no answer"), Status.REFUSED, Status.FILLED),
        (RuntimeError("whatever"), Status.REFUSED, Status.FILLED),
    ],
    ids=["ACTIVE", "REDUCING", "HALTED", "unavailable", "broken"],
)
def test_orders_keep_to_the_trading_state(
    state: TradingState | Exception, adds: Status, reduces: Status
) -> None:
    """R5.1: what cannot be read is not ACTIVE (fail closed), and what makes a position smaller goes on."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.state = state
    assert desk.order("o-2", Side.BUY, 1) is adds
    assert desk.order("o-3", Side.SELL, 1) is reduces


def test_reducing_is_no_way_through_zero() -> None:
    """R5.1: 10 long to 5 short is smaller, and a new risk."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.state = TradingState.REDUCING
    assert desk.order("o-2", Side.SELL, 15) is Status.REFUSED
    assert desk.order("o-3", Side.SELL, 10) is Status.FILLED


def test_a_close_command_is_carried_out_in_every_state() -> None:
    """R5.1: HALTED stops trading, not the way out."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    states: list[TradingState | Exception] = [TradingState.HALTED, Unavailable("no answer")]
    for number, state in enumerate(states):
        desk.state = state
        assert desk.close(f"c-{number}", Side.SELL, 5) is Status.FILLED
    assert desk.held == 0


def test_an_order_that_was_working_asks_again_before_it_trades() -> None:
    """R5.1: what was allowed in the morning is not allowed after the halt."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 1, limit=Decimal(90))
    desk.state = TradingState.HALTED
    (report,) = desk.broker.price({"AAPL": Quote(80.0)}, NOW)
    assert report.status is Status.REFUSED
    assert desk.held == 0


@pytest.mark.parametrize("scope", ["global", "account:demo", "strategy:demo:default", "underlying:demo:AAPL"])
def test_a_kill_that_could_not_be_stored_holds_until_the_state_shows_it(scope: str) -> None:
    """R5.1, R8.5: the second path of a kill reaches the broker on the topic of commands, and a late answer of before it
    opens nothing.
    """
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.order("o-2", Side.BUY, 1, limit=Decimal(90))
    assert desk.halt("h-1", scope) is Status.FILLED
    report = desk.broker.report("o-2")
    assert report is not None
    assert report.status is Status.CANCELLED
    assert desk.order("o-3", Side.BUY, 1) is Status.REFUSED
    assert desk.order("o-4", Side.SELL, 1) is Status.REFUSED  # Stopline's own closes are on their way
    assert desk.close("c-1", Side.SELL, 4) is Status.FILLED
    desk.state = TradingState.HALTED
    assert desk.order("o-5", Side.BUY, 1) is Status.REFUSED
    desk.state = TradingState.ACTIVE  # it was stored, and a person has resumed since
    assert desk.order("o-6", Side.BUY, 1) is Status.FILLED
    assert desk.halt("h-1", scope) is Status.DUPLICATE
    assert desk.order("o-7", Side.BUY, 1) is Status.FILLED


@pytest.mark.parametrize("scope", ["account:other", "strategy:demo:core", "underlying:demo:SPX"])
def test_a_halt_of_something_else_concerns_nobody_here(scope: str) -> None:
    desk = Desk()
    desk.halt("h-1", scope)
    assert desk.order("o-1", Side.BUY, 1) is Status.FILLED


def test_a_part_that_is_halted_does_not_prove_that_the_kill_of_the_whole_is_stored() -> None:
    desk = Desk()
    desk.halt("h-1", "account:demo")
    desk.state_of = lambda account, strategy, underlying: (
        TradingState.HALTED if strategy == "core" else TradingState.ACTIVE
    )
    assert desk.order("o-1", Side.BUY, 1, strategy="core") is Status.REFUSED
    assert desk.order("o-2", Side.BUY, 1) is Status.REFUSED
    assert desk.broker.halts


def test_the_state_is_asked_for_the_strategy_and_underlying_of_an_order() -> None:
    """R5.1: a strategy that is paused is paused at the broker too."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 1, strategy="core")
    assert desk.asked == [("demo", "core", "AAPL")]


# --- bad brokers -------------------------------------------------------------------------------------------


def test_partial_fills_have_ids_of_their_own_and_add_up() -> None:
    """R7.2: an order filled in parts is several fills."""
    desk = Desk(most=Decimal(4))
    assert desk.order("o-1", Side.BUY, 10) is Status.WORKING
    for _ in range(2):
        desk.broker.price(QUOTES, NOW)
    fills = desk.flush()
    assert [(fill.fill_id, fill.quantity) for fill in fills] == [
        ("o-1-1", Decimal(4)),
        ("o-1-2", Decimal(4)),
        ("o-1-3", Decimal(2)),
    ]
    assert desk.held == 10


def test_a_close_in_parts_never_passes_zero_either() -> None:
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)
    desk.broker.misbehaviour.most = Decimal(6)
    assert desk.close("c-1", Side.SELL, 25) is Status.WORKING
    desk.broker.price(QUOTES, NOW)
    assert desk.held == 0
    assert desk.close("c-2", Side.SELL, 1) is Status.DROPPED


def test_a_fill_reported_twice_is_the_same_fill() -> None:
    desk = Desk(twice=1)
    desk.order("o-1", Side.BUY, 10)
    first, second = desk.flush()
    assert (first.key, first.hash) == (second.key, second.hash)
    assert (desk.held, desk.broker.published) == (Decimal(10), 2)


def test_a_late_fill_keeps_its_time_of_execution() -> None:
    desk = Desk(late=timedelta(minutes=5))
    desk.order("o-1", Side.BUY, 10)
    assert desk.flush(NOW + timedelta(minutes=4)) == []
    (fill,) = desk.flush(NOW + timedelta(minutes=5))
    assert fill.executed_at == NOW


def test_a_rejecting_broker_does_nothing() -> None:
    desk = Desk(reject=2)
    assert desk.order("o-1", Side.BUY, 10) is Status.REFUSED
    assert desk.close("c-1", Side.SELL, 10) is Status.REFUSED
    assert desk.order("o-2", Side.BUY, 10) is Status.FILLED


# --- publishing --------------------------------------------------------------------------------------------


def test_a_fill_that_could_not_be_published_stays_due() -> None:
    """R8.5: the execution has happened, so its report must get out."""
    desk = Desk()
    desk.order("o-1", Side.BUY, 10)

    def down(fill: Fill) -> None:
        raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        desk.broker.flush(NOW, down)
    assert [fill.fill_id for fill in desk.flush()] == ["o-1-1"]
    assert desk.flush() == []


def test_the_embedded_loop_executes_commands_and_publishes_the_fills() -> None:
    desk, bus = Desk(), MemoryBus()
    desk.order("o-1", Side.BUY, 10)
    told: list[Fill | ExecutionReport] = []
    serve_embedded(desk.broker, bus, ManualClock(NOW), told.append)
    command = canonical(close("c-1", Side.SELL, 10).model_dump(mode="json"))
    bus.publish([Outgoing("orders", command), Outgoing("orders", command), Outgoing("orders", b"?")])
    bus.run()
    assert [one.fill_id for one in told if isinstance(one, Fill)] == ["o-1-1", "c-1-1"]
    assert [one.status.value for one in told if isinstance(one, ExecutionReport)] == ["filled"]
    assert bus.dead == []
