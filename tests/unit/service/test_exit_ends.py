"""Every exit that triggers ends flat or in a critical alert, whatever the broker does (R4.5)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.broker_link import hand_out, serve_embedded
from emulators.paper_broker import PaperBroker
from emulators.paper_orders import Misbehaviour, Order
from stopline.model.control import TradingState
from stopline.model.fill import Fill, Side
from stopline.model.messages import ExecutionReport
from stopline.model.prices import PRICES_TYPE, Quote
from stopline.model.times import utc_text
from stopline.runtime.embedded import Embedded

from ..make import NOON, account, equity, option

SHORT, LONG = option(6000, "P"), option(5990, "P")
KINDS: dict[str, dict[str, Any]] = {
    "stop": {"trades": {"stop_loss": "100%"}},
    "excessive loss": {"trades": {"excessive_loss": "150%"}},
    "target": {"trades": {"target": "40%"}},
    "breakeven": {"trades": {"breakeven": "20%"}},
    "lock-in": {"trades": {"lock_in": [{"at": "30%", "keep": "10%"}]}},
    "percent": {"trades": {"trail": {"by": "percent", "amount": "20%", "activation": "10%"}}},
    "giveback": {"trades": {"trail": {"by": "giveback", "amount": "30%", "activation": "10%"}}},
    "step": {"trades": {"trail": {"by": "step", "amount": "20%", "activation": "10%"}}},
    "atr": {
        "trades": {
            "trail": {"by": "atr", "amount": "1atr", "activation": "10%"},
            "atr_bar_s": 10,
            "atr_bars": 2,
        }
    },
    "scale out": {
        "trades": {
            "stop_loss": "100%",
            "scale_out": [{"at": "0.2R", "close": "50"}, {"at": "0.4R", "close": "50"}],
        }
    },
    "age": {"trades": {"max_age_s": 20}},
    "timeout": {"trades": {"timeout_s": 30}},
    "clock": {"trades": {"exit_at": "12:01"}},
    "close": {"trades": {"before_close_min": 239}},
    "most loss": {"max_loss": "150"},
    "drawdown": {"drawdown_limit": "100"},
    "mtm trail": {"arm": "50", "giveback": "30"},
    "floor": {"floor_at": "50", "floor": "20"},
}
PROFIT, BACK, LOSS = (2.0, 1.4), (3.0, 1.5), (6.0, 2.0)  # of a spread that was sold for 1.40
PATH = [PROFIT] * 4 + [BACK] * 2
LAST = {"exit_stuck", "closing_stuck", "orphan_leg"}

brokers = st.builds(
    Misbehaviour,
    reject=st.integers(0, 30),
    twice=st.integers(0, 3),
    late=st.sampled_from([timedelta(0), timedelta(seconds=40)]),
    most=st.sampled_from([None, Decimal(1)]),
    deaf=st.integers(0, 3),
    apart=st.integers(0, 2),
    silent=st.booleans(),
)


class Day:
    """One Stopline with a broker; time goes on in steps of 10 s."""

    def __init__(self, exits: dict[str, Any]) -> None:
        self.desk = Embedded(NOON)
        self.desk.app.account_writer.create(account(exits=exits, capital="10000000"), "ann")
        self.broker = PaperBroker(lambda *_: TradingState.ACTIVE)
        serve_embedded(self.broker, self.desk.bus, self.desk.clock, self.publish)
        self.told: list[dict[str, Any]] = []

    def publish(self, what: Fill | ExecutionReport) -> None:
        attributes = {"account": what.account, "broker": "paper"}
        self.desk.publish("fills", what.model_dump(mode="json", exclude_none=True), attributes)

    def enter(self, units: int = 4, group: str = "G-1", strategy: str = "condors") -> None:
        for contract, side in ((LONG, Side.BUY), (SHORT, Side.SELL)):
            id_ = f"o-{strategy}-{group}-{side}"
            order = Order(id_, "demo", contract, side, Decimal(units), strategy, group_id=group)
            self.broker.order(order, self.desk.clock.now())
        hand_out(self.broker, self.desk.clock, self.publish)
        self.desk.run()

    def tick(self, short: float, long: float) -> None:
        now = self.desk.clock.now() + timedelta(seconds=10)
        self.desk.clock.set(now)
        quotes = {SHORT.symbol: (short, short + 0.1), LONG.symbol: (long, long + 0.1)}
        self.broker.price({s: Quote(float("nan"), *q) for s, q in quotes.items()}, now)
        columns = {
            "symbols": list(quotes),
            "last": [None, None],
            "bid": [bid for bid, _ in quotes.values()],
            "ask": [ask for _, ask in quotes.values()],
        }
        self.desk.publish("prices", {"type": PRICES_TYPE, "as_of": utc_text(now), **columns})
        self.desk.sweep()
        hand_out(self.broker, self.desk.clock, self.publish)
        self.desk.run()

    def is_flat(self) -> bool:
        book = self.desk.app.books.read("demo")
        return book is not None and not book.open_positions()

    def held(self, strategy: str = "condors") -> list[Decimal]:
        return [self.broker.position("demo", strategy, c.symbol) for c in (SHORT, LONG)]

    def asked(self) -> set[str | None]:
        """Return the strategies of which something was to be closed."""
        return {one.request.strategy for one in self.desk.app.closer.read("demo").asked.values()}

    def critical(self) -> set[str]:
        documents = self.desk.store.query("alerts")
        return {d.data["kind"] for d in documents if d.data.get("severity") == "critical"}


def opened(kinds: Collection[str], units: int, more: int = 0) -> Day:
    """Return a day on which each kind of exit has a strategy of its own, with a spread, or two in the same positions."""
    day = Day({"strategies": {name_of(kind): KINDS[kind] for kind in kinds}})
    day.tick(3.0, 1.5)
    for kind in kinds:
        day.enter(units, strategy=name_of(kind))
        if more:
            day.enter(more, "G-2", name_of(kind))
    day.tick(3.0, 1.5)
    return day


def name_of(kind: str) -> str:
    return kind.replace(" ", "-")


@given(st.sets(st.sampled_from(sorted(KINDS)), min_size=2, max_size=2), brokers, st.integers(0, 2))
@settings(max_examples=5, deadline=None)
def test_every_exit_ends_flat_or_in_a_critical_alert(
    kinds: set[str], broker: Misbehaviour, more: int
) -> None:
    """R4.5, R8.4: rejects, fills late, twice, in parts, the wrong leg first, and silence; of one trade, and of two in the
    same positions; two kinds of exits at once, through a profit that is lost again.
    """
    day = opened(sorted(kinds), 2, more)
    day.broker.misbehaviour = broker
    for prices in [*PATH, *[LOSS] * 10]:
        day.tick(*prices)
        for kind in kinds:
            short, long = day.held(name_of(kind))
            assert -2 - more <= short <= 0 <= long <= 2 + more
    assert day.asked() == {name_of(kind) for kind in kinds}
    assert day.is_flat() or day.critical() & LAST


def test_every_kind_of_exit_that_triggers_ends_flat_at_a_broker_that_does_what_it_is_told() -> None:
    """R4.1, R4.2, R4.3: all kinds at once, each by its own rule; none is closed by another one's."""
    day = opened(sorted(KINDS), 1)
    for prices in [*PATH, *[LOSS] * 5]:
        day.tick(*prices)
    rules = {a.request.strategy: a.request.rule for a in day.desk.app.closer.read("demo").asked.values()}
    assert rules == {
        "stop": "stop_loss",
        "excessive-loss": "excessive_loss",
        "target": "target",
        "breakeven": "breakeven",
        "lock-in": "lock_in",
        **dict.fromkeys(("percent", "giveback", "step", "atr"), "trailing_stop"),
        "scale-out": "scale_out",
        "age": "max_age",
        "timeout": "timeout",
        "clock": "exit_at",
        "close": "before_close",
        "most-loss": "max_loss",
        "drawdown": "drawdown",
        "mtm-trail": "trailing_stop",
        "floor": "profit_floor",
    }
    assert day.is_flat()


def test_at_a_broker_that_never_recovers_people_are_told_and_stopline_keeps_sending() -> None:
    """R4.5, R8.4: nothing is ever closed, so only people can end it: of a stop, a stage, a strategy and by time."""
    kinds = ("stop", "scale out", "most loss", "age")
    day = opened(kinds, 1)
    day.broker.misbehaviour = Misbehaviour(reject=10**6)
    for prices in [*PATH, *[LOSS] * 14]:
        day.tick(*prices)
    assert day.asked() == {name_of(kind) for kind in kinds}
    assert {tuple(day.held(name_of(kind))) for kind in kinds} == {(-1, 1)}
    assert {"exit_stuck", "closing_stuck"} <= day.critical()
    state = day.desk.app.closer.read("demo")
    assert len(state.open_requests) >= len(kinds)
    assert max(sent.round for sent in state.sent.values()) > 3


THIRD = {
    "trades": {
        "stop_loss": "100%",
        "trail": {"by": "percent", "amount": "20%", "activation": "10%"},
        "scale_out": [{"at": "0.3R", "close": "33"}, {"at": "2R", "close": "33"}],
    }
}


@pytest.mark.parametrize("most", [None, Decimal(2)], ids=["at once", "in parts"])
def test_a_spread_is_scaled_out_of_once_leg_by_leg_and_keeps_its_trailed_stop(most: Decimal | None) -> None:
    """R4.1, R4.3: the short leg goes first, so the legs are out of proportion in between."""
    day = Day(THIRD)
    day.tick(3.0, 1.5)
    day.enter(12)
    day.tick(3.0, 1.5)
    day.broker.misbehaviour = Misbehaviour(most=most)
    for _ in range(7):
        day.tick(2.4, 1.5)
    assert day.held() == [-9, 9]
    [state] = day.desk.app.risk_states.read("demo").exits.trades.values()
    assert (state.stage, state.size, state.rule, state.stop) == (1, 12, "trailing_stop", Decimal("1.08"))
    for _ in range(7):
        day.tick(3.5, 1.5)
    asked = day.desk.app.closer.read("demo").asked.values()
    assert [a.request.rule for a in asked if a.request.rule != "trailing_stop"] == ["scale_out"]
    assert day.is_flat()


def test_of_two_spreads_in_the_same_contracts_each_is_scaled_out_of_by_its_own_part() -> None:
    """R4.1, R4.3: what one closes leg by leg is nothing to the other, whose price it is too."""
    day = Day(THIRD)
    day.tick(3.0, 1.5)
    day.enter(12)
    day.tick(2.4, 1.2)
    day.enter(6, "G-2")
    for _ in range(7):
        day.tick(2.0, 1.4)
    found = {one.legs[0].tag: one for one in day.desk.app.books.read("demo").open_trades()}  # type: ignore[union-attr]
    sizes = {tag: sorted(leg.quantity for leg in one.legs) for tag, one in found.items()}
    assert sizes == {"group:G-1": [-9, 9], "group:G-2": [-5, 5]}
    states = day.desk.app.risk_states.read("demo").exits.trades  # type: ignore[union-attr]
    assert {state.stage for state in states.values()} == {1}
    asked = day.desk.app.closer.read("demo").asked.values()
    assert sorted((a.request.rule, a.request.leave) for a in asked) == [("scale_out", 5), ("scale_out", 9)]


def test_a_spread_that_stays_out_of_proportion_is_told_and_its_rest_has_its_stop_loss() -> None:
    """R4.5: the broker refuses everything once the short leg is smaller."""
    day = Day(THIRD)
    day.tick(3.0, 1.5)
    day.enter(12)
    day.tick(3.0, 1.5)
    day.broker.misbehaviour = Misbehaviour(most=Decimal(2))
    for _ in range(2):
        day.tick(2.4, 1.5)
    day.broker.misbehaviour = Misbehaviour(reject=10**6)
    for _ in range(9):
        day.tick(2.4, 1.5)
    short, long = day.held()
    assert -short < long
    assert {"exit_stuck", "closing_stuck"} <= day.critical()
    for _ in range(2):
        day.tick(9.0, 1.5)
    last = [a.request for a in day.desk.app.closer.read("demo").asked.values()]
    assert ("stop_loss", 0, "urgent") in [(r.rule, r.leave, r.urgency) for r in last]


def test_the_stop_of_the_newest_of_three_trades_leaves_the_others_open_with_theirs() -> None:
    """R4.5: three orders in one position, each its own trade; 107.5 is below the stop of the one bought at 110 only."""
    day = Day({"trades": {"stop_loss": "2%"}})

    def tick(price: float) -> list[tuple[str, str]]:
        now = day.desk.clock.now() + timedelta(seconds=10)
        day.desk.clock.set(now)
        day.broker.price({"SPY": Quote(float("nan"), price - 0.05, price + 0.05)}, now)
        columns = {"symbols": ["SPY"], "last": [None], "bid": [price - 0.05], "ask": [price + 0.05]}
        day.desk.publish("prices", {"type": PRICES_TYPE, "as_of": utc_text(now), **columns})
        day.desk.sweep()
        hand_out(day.broker, day.desk.clock, day.publish)
        day.desk.run()
        book = day.desk.app.books.read("demo")
        return [(str(t.legs[0].entry_price)[:3], t.status.value) for t in book.trades()] if book else []

    for number, price in enumerate((100, 101, 110)):
        tick(price)
        order = Order(f"o-{number}", "demo", equity(), Side.BUY, Decimal(100), "condors")
        day.broker.order(order, day.desk.clock.now())
        hand_out(day.broker, day.desk.clock, day.publish)
        day.desk.run()
        tick(price)
    for _ in range(10):
        trades = tick(107.5)
    assert trades == [("100", "OPEN"), ("101", "OPEN"), ("110", "CLOSED")]
    assert day.broker.position("demo", "condors", "SPY") == 200
    assert not day.critical() & {*LAST, "closing_astray"}
    for _ in range(4):
        trades = tick(60)
    assert {status for _, status in trades} == {"CLOSED"}
    assert day.is_flat()
