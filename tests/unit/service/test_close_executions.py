"""How the fills of close commands are read back: in one question, and as each position's own would say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stopline.model.closing_state import ClosingState, Sent, SentLeg
from stopline.model.control import ControlRequest
from stopline.model.fill import Fill
from stopline.ports import Put
from stopline.service.closing import executions
from stopline.service.closing.executions import with_executions
from stopline.service.fills.books import FillLog, fill_create, fill_path

from ..make import NOON, at, equity, fill
from .world import FaultyStore, World

SYMBOLS = ("A", "B", "C", "D", "E", "F")
STRATEGIES = ("core", "trend")
ALL = 10**6


def command(number: int, strategy: str, symbols: tuple[str, ...], issued: int) -> Sent:
    legs = [
        SentLeg(key=f"{strategy}:{symbol}", instrument=equity(symbol), side="SELL", quantity=Decimal(10))
        for symbol in symbols
    ]
    return Sent(
        command_id=f"c-{number}",
        strategy=strategy,
        epoch=1,
        round=1,
        units=Decimal(10),
        legs=tuple(legs),
        order_type="MARKET",
        issued_at=at(issued),
        expires_at=at(issued + 20),
    )


def stored(fills: list[Fill]) -> FaultyStore:
    """Return a store of fills; what amends one lies in its position's log, whatever strategy it names."""
    store, of = FaultyStore(World().shared), {one.fill_id: one for one in fills}
    for one in fills:
        home = of.get(one.ref or "", one)
        place = home.strategy, home.instrument.symbol
        store.store.commit([fill_create(one, "m", one.executed_at, place)])
    return store


places = st.tuples(st.sampled_from(STRATEGIES), st.sampled_from(SYMBOLS))
traded = st.tuples(
    places, st.sampled_from(["BUY", "SELL"]), st.integers(1, 9), st.integers(-90, 90), st.integers(-1, 12)
)
kinds = st.sampled_from(["CORRECT", "BUST", "BUST of no strategy", "SPLIT"])
amended = st.tuples(kinds, st.integers(0, 29), st.integers(-90, 90))


def fills_of(trades: list[Any], amendments: list[Any]) -> list[Fill]:
    """Return trades of which some name a command (`of`), and what corrects, busts or splits them."""
    found = []
    for number, ((strategy, symbol), side, units, second, of) in enumerate(trades):
        more = {"strategy": strategy, "order_id": f"c-{of}" if of >= 0 else None}
        found.append(fill(f"E-{number}", side, units, 100, at(second), equity(symbol), **more))
    for number, (kind, index, second) in enumerate(amendments):
        of = found[index % len(trades)]
        kind, _, is_other = kind.partition(" ")
        strategy = "default" if is_other else of.strategy
        more = {"strategy": strategy, "kind": kind, "order_id": of.order_id}
        more |= {} if kind == "SPLIT" else {"ref": of.fill_id}
        units, price = (3, 1) if kind == "SPLIT" else (2, 99)
        found.append(fill(f"X-{number}", of.side.value, units, price, at(second), of.instrument, **more))
    return found


@given(
    st.lists(traded, min_size=1, max_size=30),
    st.lists(amended, max_size=6),
    st.lists(st.tuples(places, st.booleans(), st.integers(-60, 60)), min_size=5, max_size=12),
)
def test_one_question_for_all_positions_says_what_each_position_s_own_says(
    trades: list[Any], amendments: list[Any], commands: list[Any]
) -> None:
    """R8.4, I6: what is closed is counted from it."""
    store = stored(fills_of(trades, amendments))
    sent = {}
    for number, ((strategy, symbol), is_pair, issued) in enumerate(commands):
        symbols = (symbol, SYMBOLS[(SYMBOLS.index(symbol) + 1) % len(SYMBOLS)]) if is_pair else (symbol,)
        sent[f"c-{number}"] = command(number, strategy, symbols, issued)
    state = ClosingState(account="demo", sent=sent)
    assert with_executions(state, FillLog(store)) == with_executions(state, FillLog(store), ALL)


def test_a_bust_that_names_another_strategy_counts_however_many_positions_are_looked_at() -> None:
    """I6: a feed of busts that names none. Of five positions what was closed counted as closed for ever."""
    traded, bust = closing("A", 1), closing("A", 2, kind="BUST", strategy="default", ref="E-A-1")
    for count in (executions.APART, executions.APART + 1):
        assert asked([traded, bust], count)[0].sent["c-0"].legs[0].filled == 0


def test_a_look_at_many_commands_asks_once_for_their_fills() -> None:
    """R4.5: a round of commands that are filled one by one is looked at with each of them."""
    reads = []
    for count in (6, 60):
        world = World()
        world.open_account()
        app, _ = world.instance()
        held = [fill(f"E-{n}", "BUY", 1, 100, NOON, equity(f"S{n:04d}")) for n in range(count)]
        app.recorder.record(held, "m-1")
        facts = {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "t"}
        app.halts.advance(app.trading.set(ControlRequest.model_validate(facts)))
        close = world.bus.bodies("orders")[-1]
        contract = equity(close["instrument"]["symbol"])
        more = {"executed_at": world.wait(1), "instrument": contract, "order_id": close["command_id"]}
        app.recorder.record([fill("C-1", "SELL", 1, 99, **more)], "m-2")
        looking, store = world.instance()
        looking.closer.advance("demo")
        assert looking.closer.read("demo").sent[close["command_id"]].is_filled
        reads.append(store.reads)
    assert reads[0] == reads[1] <= 12


def asked(fills: list[Fill], count: int = 6) -> tuple[ClosingState, FaultyStore]:
    store = stored(fills)
    sent = {f"c-{n}": command(n, "core", (SYMBOLS[n],), 0) for n in range(count)}
    return with_executions(ClosingState(account="demo", sent=sent), FillLog(store)), store


def closing(symbol: str, number: int, **more: Any) -> Fill:
    facts = {"strategy": "core", "order_id": "c-0", "instrument": equity(symbol), **more}
    return fill(f"E-{symbol}-{number}", "SELL", 1, 100, at(number % 50), **facts)


def test_an_account_that_trades_much_beside_its_commands_is_asked_for_each_position() -> None:
    """Hundreds of fills of other things are not read with each look."""
    busy = [closing("Z", number) for number in range(6 * executions.WORTH_A_QUESTION)]
    state, store = asked([*busy, closing("A", 1)])
    assert state.sent["c-0"].legs[0].filled == 1
    assert store.reads == 1 + 6
    state, store = asked([*busy[1:], closing("A", 1)])
    assert state.sent["c-0"].legs[0].filled == 1
    assert store.reads == 1


def test_few_positions_are_asked_for_by_themselves() -> None:
    assert [asked([closing("A", 1)], count)[1].reads for count in (1, executions.APART)] == [
        1,
        executions.APART,
    ]


def test_a_fill_that_cannot_be_read_costs_no_other_position_its_own() -> None:
    """I7: it is nothing that is being closed."""
    other = closing("Z", 2)
    store = stored([closing("A", 1), other])
    document = store.get(fill_path(other.key))
    assert document is not None
    store.store.commit([Put(document.path, {**document.data, "fill": "{"})])
    sent = {f"c-{n}": command(n, "core", (SYMBOLS[n],), 0) for n in range(6)}
    state = with_executions(ClosingState(account="demo", sent=sent), FillLog(store))
    assert state.sent["c-0"].legs[0].filled == 1
