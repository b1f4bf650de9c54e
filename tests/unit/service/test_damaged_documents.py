"""A damaged document of one account costs no other one anything, of each kind that a sweep reads: R0.4, I7, I10."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected, Transient
from stopline.model.ids import document_id
from stopline.model.lease import LeaseRequest
from stopline.model.messages import Sweep, SweepKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import SERVER_TIME, Data, Path, Put
from stopline.runtime.app import App

from ..make import account, trade
from .valuing import prices
from .world import World

FILL = trade(1, 10, 100, account="demo")
DOCUMENTS = {
    "accounts": ("demo",),
    "activity": ("demo",),
    "alerts": ("a-1",),
    "books": ("demo",),
    "closings": ("demo",),
    "cancels": ("demo",),
    "controls": ("account:demo",),
    "fills": (FILL.key,),
    "health": ("demo",),
    "incidents": ("demo",),
    "journals": ("journal:demo",),
    "leases": ("demo", "a"),
    "measures": ("demo",),
    "quarantine": ("q-1",),
    "reconciliations": ("demo",),
    "risk": ("demo",),
    "statements": ("demo.paper",),
    "strays": ("demo",),
    "unclosed": ("demo",),
}
HOUR = timedelta(hours=1)
TEXTS = {"accounts": "account", "fills": "fill", "leases": "orders"}
"""Where a document's text is, if not in `state`."""


def cut(collection: str, data: Data, now: datetime) -> Data:
    """The text ends in the middle."""
    name = TEXTS.get(collection, "state")
    return {**data, name: str(data.get(name))[:20]}


def shaped(collection: str, data: Data, now: datetime) -> Data:
    """The text is JSON of another shape."""
    return {**data, TEXTS.get(collection, "state"): "[1]"}


def nameless(collection: str, data: Data, now: datetime) -> Data:
    """It does not say whose it is, nor what."""
    return {k: v for k, v in data.items() if k not in ("account", "scope", "adapter", "source")}


def mistyped(collection: str, data: Data, now: datetime) -> Data:
    """Every field but the times that it is found by is of another type."""
    return {
        k: v if isinstance(v, datetime | bool) else 7 if isinstance(v, str) else "x" for k, v in data.items()
    }


def bare(collection: str, data: Data, now: datetime) -> Data:
    """Nothing is left but what it is found by."""
    return {k: v for k, v in data.items() if isinstance(v, datetime | bool)}


def unsent(collection: str, data: Data, now: datetime) -> Data:
    """Its outbox is damaged."""
    return {**data, "outbox": "[[1", "outbox_at": now - HOUR}


@pytest.fixture(scope="module")
def before() -> World:
    """Two accounts, each with a position, a halted strategy, an adapter and a statement, watched a moment ago."""
    made = World()
    app, _ = made.instance()
    for number, name in enumerate(("demo", "other"), 1):
        made.open_account(account(name))
        app.recorder.record([trade(number, 10, 100, account=name)], f"m-{name}")
        facts = {"scope": f"strategy:{name}:default", "action": "kill", "actor": "ann", "reason": "x"}
        app.trading.set(ControlRequest.model_validate({**facts, "request_id": f"k-{name}"}))
        body = {
            "statement_id": "S-1",
            "broker": "paper",
            "account": name,
            "as_of": utc_text(made.clock.now()),
        }
        app.statement_recorder.record(
            validate(Statement, {**body, "positions": [{"symbol": "SPY", "quantity": "10"}]})
        )
    look(made, app)
    for name in ("demo", "other"):
        leased(app, name)
    return made


def copied(world: World) -> World:
    """Return the same documents in a world of its own."""
    made = World()
    made.shared._documents = copy.deepcopy(world.shared._documents)
    made.shared._commits = world.shared._commits
    made.clock.set(world.clock.now())
    return made


def look(
    world: World,
    app: App,
    kind: SweepKind = SweepKind.RISK,
) -> str:
    """Take a price and run a round; return what it says it could not do."""
    now = world.wait(30)
    prices(app, now, SPY=100.0)
    try:
        app.sweeper.run(Sweep(kind=kind), now, f"s-{now.timestamp()}")
    except Transient as problem:
        return str(problem)
    return ""


def leased(app: App, name: str) -> tuple[str, str]:
    try:
        lease = app.leases.grant(app.accounts.require(name), LeaseRequest(adapter="a", orders=1))
    except Rejected as refused:
        return refused.reason, refused.detail
    return lease.state.value, str(lease.size)


def damage(world: World, collection: str, how: Callable[[str, Data, datetime], Data], *parts: str) -> None:
    now, path = world.clock.now(), Path(collection, document_id(*(parts or DOCUMENTS[collection])))
    found = world.shared.get(path)
    made = {
        "account": "demo",
        "state": '{"account":"demo"}',
        "is_unusual": True,
        "due_at": now,
        "recheck_at": now,
    }
    data = how(collection, {**(found.data if found else made), "changed_at": now}, now)
    world.shared.commit([Put(path, {**data, "changed_at": SERVER_TIME})])


@pytest.mark.parametrize("collection", DOCUMENTS)
@pytest.mark.parametrize("how", [cut, nameless, mistyped, bare, unsent], ids=lambda how: how.__name__)
def test_the_other_account_is_watched_and_trades_and_somebody_is_told_of_this_one(
    before: World, how: Callable[[str, Data, datetime], Data], collection: str
) -> None:
    """Five minutes: in each a round of the instance that was there before the damage, in the first and the last one of a
    new instance.
    """
    world = copied(before)
    warm, _ = world.instance()
    look(world, warm)
    damage(world, collection, how)
    said = []
    for minute in range(5):
        for app in (warm, world.instance()[0]) if minute in (0, 4) else (warm,):
            world.wait(30 if app is warm else 0)
            said.append(look(world, app))
            now = world.clock.now()
            assert world.document("risk", "other")["as_of"] == now, said  # type: ignore[index]
            assert world.document("heartbeats", "sweep")["at"] == now, said  # type: ignore[index]
            assert leased(app, "other") == ("ACTIVE", "1"), said
    told = {a.get("kind") for a in world.bus.bodies("alerts") if a["account"] == "demo"}
    seen = world.document("risk", "demo")
    is_watched = seen is not None and now - seen.get("as_of", now - HOUR) <= timedelta(minutes=1)
    assert is_watched or "account_unwatched" in told, said
    assert "account_unwatched" not in told or all(said), said
    look(world, warm, SweepKind.RECONCILE)
    assert world.document("heartbeats", "reconcile")["at"] == world.clock.now()  # type: ignore[index]


@pytest.mark.parametrize("warm", [True, False], ids=["the same instance", "a new instance"])
def test_prices_reach_the_accounts_behind_one_that_cannot_be_valued(before: World, warm: bool) -> None:
    """R1.6: the batch does not come again and again for it, either."""
    world = copied(before)
    app, _ = world.instance()
    look(world, app)
    damage(world, "risk", cut)
    app = app if warm else world.instance()[0]
    prices(app, world.wait(30), SPY=99.0)
    assert world.document("risk", "other")["as_of"] == world.clock.now()  # type: ignore[index]


def test_a_fault_in_the_numbers_of_one_account_keeps_no_other_from_being_valued(
    before: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1.6, I10: nobody has thought of it, so the batch comes again; damage beside it hides nothing of that."""
    world = copied(before)
    app, _ = world.instance()
    look(world, app)
    world.open_account(account("bad"))
    app.recorder.record([trade(9, 1, 100, account="bad")], "m-9")
    damage(world, "risk", cut)
    real = app.evaluator.evaluate

    def evaluate(owner: Account, *args: Any, **more: Any) -> Any:
        if owner.account == "bad":
            raise ZeroDivisionError("a fault in the numbers of this account")
        return real(owner, *args, **more)

    monkeypatch.setattr(app.evaluator, "evaluate", evaluate)
    with pytest.raises(ZeroDivisionError):
        prices(app, world.wait(30), SPY=99.0)
    assert world.document("risk", "other")["as_of"] == world.clock.now()  # type: ignore[index]


COMMON = [
    ("marks", "feed"),
    ("sessions", "XNYS"),
    ("factors", "2026-11-17", "XNYS"),
    ("heartbeats", "sweep"),
    ("heartbeats", "watchdog"),
]


@pytest.mark.parametrize("document", COMMON, ids="-".join)
@pytest.mark.parametrize("how", [cut, nameless, bare], ids=lambda how: how.__name__)
def test_what_is_kept_for_everybody_is_written_anew_or_unknown_and_both_accounts_are_watched(
    before: World, how: Callable[[str, Data, datetime], Data], document: tuple[str, ...]
) -> None:
    """I7: no lease by a heartbeat that nobody can read, until the next one."""
    world = copied(before)
    warm, _ = world.instance()
    look(world, warm)
    damage(world, document[0], how, *document[1:])
    for app in (warm, world.instance()[0]):
        assert look(world, app) == ""
        for name in ("demo", "other"):
            assert world.document("risk", name)["as_of"] == world.clock.now()  # type: ignore[index]
            assert leased(app, name) == ("ACTIVE", "1")


@pytest.mark.parametrize("document", [("sessions", "XNYS"), ("heartbeats", "audit"), ("quarantine", "q-2")])
def test_a_damaged_outbox_of_nobody_is_told_outside_and_costs_nobody_a_lease(
    before: World, document: tuple[str, ...]
) -> None:
    """The round fails aloud until it is mended, and is whole all the same."""
    world = copied(before)
    app, _ = world.instance()
    damage(world, document[0], lambda *about: nameless("", unsent(*about), about[2]), *document[1:])
    for _ in range(5):
        assert "/".join(document) in look(world, app)
        assert world.document("heartbeats", "sweep")["at"] == world.clock.now()  # type: ignore[index]
        assert leased(app, "demo") == leased(app, "other") == ("ACTIVE", "1")


@pytest.mark.parametrize("fields", [{"unwatched": "{x"}, {"unwatched": "[1]"}, {"at": None}], ids=str)
def test_by_a_damaged_heartbeat_no_lease_is_granted_until_the_next_one(before: World, fields: Data) -> None:
    world = copied(before)
    app, _ = world.instance()
    beat = world.document("heartbeats", "sweep")
    assert beat is not None
    assert leased(app, "demo") == ("ACTIVE", "1")
    world.shared.commit([Put(Path("heartbeats", "sweep"), {**beat, **fields})])
    assert leased(app, "demo")[0] == "SWEEP_SILENT"
    assert look(world, app) == ""
    assert leased(app, "demo") == ("ACTIVE", "1")


@pytest.mark.parametrize("how", [cut, shaped, nameless, mistyped, bare], ids=lambda how: how.__name__)
def test_an_adapter_whose_lease_is_damaged_gets_its_next_one_and_that_one_is_whole(
    before: World, how: Callable[[str, Data, datetime], Data]
) -> None:
    world = copied(before)
    app, _ = world.instance()
    damage(world, "leases", how)
    assert leased(app, "demo") == ("ACTIVE", "1")
    data = world.document("leases", "demo", "a")
    assert data is not None
    assert (data["account"], data["adapter"], data["errors"], data["orders"][-4:]) == ("demo", "a", 0, ",1]]")


@pytest.mark.parametrize("fields", [{"errors": None}, {"latency_ms": "slow"}, {"broker_ok": "yes"}], ids=str)
def test_a_word_of_an_adapter_that_cannot_be_read_is_a_bad_one(before: World, fields: Data) -> None:
    """R5.3: alone, and beside a good word; after it fell silent too it takes no stop back."""
    world = copied(before)
    app, _ = world.instance()
    data = world.document("leases", "demo", "a")
    assert data is not None
    world.shared.commit([Put(Path("leases", document_id("demo", "a")), {**data, **fields})])
    for _ in range(5):
        app.leases.grant(app.accounts.require("demo"), LeaseRequest(adapter="b"))
        assert look(world, app) == ""
        assert set(app.trading.read("account:demo").holds) == {"breaker:broker_down"}
    assert app.trading.read("account:other").holds == {}


def test_a_fill_that_nobody_can_read_is_its_account_s_trouble(before: World) -> None:
    """The watch for activity reads the fills of the last minutes, of all accounts at once."""
    world = copied(before)
    app, _ = world.instance()
    now = world.clock.now()
    app.recorder.record(
        [
            trade(number, 1, 100, account=name, executed_at=now)
            for number, name in ((7, "demo"), (8, "other"))
        ],
        "m",
    )
    path = Path("fills", trade(7, 1, 100, account="demo", executed_at=now).key)
    found = world.shared.get(path)
    assert found is not None
    world.shared.commit([Put(path, {**found.data, "fill": "{x"})])
    said = look(world, app)
    assert said.startswith("demo: ")
    assert f"{path} cannot be read" in said
    assert "other" not in said
    assert leased(app, "other") == ("ACTIVE", "1")
