"""Orders of our own closes that a broker's list names: no alarm, no cancel and no doubt, as long as that list counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stopline.model.closing_state import ClosingState, Over
from stopline.model.ids import short_id
from stopline.model.messages import ExecutionReport
from stopline.model.times import utc_text
from stopline.ports import Put
from stopline.rules.closing.sent import MOST_OVER, ended, own_names
from stopline.runtime.app import App
from stopline.service.accounts.reader import account_path

from ..make import NOON, account, trade
from .test_orders_working import cancels, kill, order, statement, status, told, world
from .test_statement_lists import HELD, resume
from .world import World

__all__ = ["world"]


def closes(world: World) -> list[dict[str, Any]]:
    found = {o["command_id"]: o for o in world.bus.bodies("orders") if o["action"] == "close"}
    return list(found.values())


def fill(world: World, app: App, number: int, order_id: str) -> None:
    app.recorder.record(
        [trade(number, -10, 99, executed_at=world.clock.now(), order_id=order_id)], f"m-{number}"
    )
    app.closer.advance("demo")


def stays_flat(world: World, app: App, minutes: int = 18) -> None:
    """Look each minute, by statements that list nothing."""
    for _ in range(minutes):
        assert status(statement(world, app, 60, None)) == "FLAT"
    assert (len(cancels(world)), told(world)) == (1, [])
    assert resume(app, 1) == ""


@pytest.mark.parametrize("listed", ["whole", "short", "reported"])
@pytest.mark.parametrize("filled", ["command", "short", "broker"])
def test_our_close_that_was_listed_and_then_filled_is_no_order_that_works(
    world: World, listed: str, filled: str
) -> None:
    """Domain 2.4: an alarm that is false, and a resume that nobody gets; for a quarter of an hour nobody saw it."""
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    id_ = close["command_id"]
    own = {"whole": {"client_order_id": id_}, "short": {"client_order_id": short_id(id_)}}.get(listed, {})
    statement(world, app, 15, [order(order_id="B-9", side="SELL", quantity="10", **own)], positions=HELD)
    if listed == "reported":
        facts = {"command_id": id_, "account": "demo", "broker": "paper", "status": "accepted"}
        at = utc_text(world.wait(1))
        app.closer.report(ExecutionReport.model_validate({**facts, "order_id": "B-9", "reported_at": at}))
    world.wait(1)
    fill(world, app, 2, {"command": id_, "short": short_id(id_), "broker": "B-9"}[filled])
    stays_flat(world, app)


def test_a_list_of_just_after_the_fill_may_name_the_order_still(world: World) -> None:
    """A broker's list may be some seconds behind its fills."""
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    world.wait(20)
    fill(world, app, 2, close["command_id"])
    late = order(order_id="B-9", client_order_id=close["command_id"], side="SELL", quantity="10")
    assert status(statement(world, app, 2, [late])) == "FLAT"
    stays_flat(world, app)


def test_a_close_that_the_broker_ended_is_ours_as_long_as_the_list_that_names_it_counts(world: World) -> None:
    """Its name was forgotten a quarter of an hour later, and the list was not."""
    app, _ = world.instance()
    kill(app)
    [first] = closes(world)
    mine = order(order_id="B-9", client_order_id=first["command_id"], side="SELL", quantity="10")
    statement(world, app, 5, [mine], positions=HELD)
    facts = {"command_id": first["command_id"], "account": "demo", "broker": "paper", "status": "cancelled"}
    at = utc_text(world.wait(1))
    app.closer.report(ExecutionReport.model_validate({**facts, "filled": "0", "reported_at": at}))
    world.wait(10)
    app.closer.advance("demo")
    _, second = closes(world)
    world.wait(1)
    fill(world, app, 2, second["command_id"])
    stays_flat(world, app)


def test_a_number_of_our_order_at_one_broker_hides_no_order_of_another(world: World) -> None:
    """Domain 2.4: brokers number their orders each by itself; a foreign order 7 passed for our own."""
    path = account_path("demo")
    both = account(brokers=["paper", "other"]).model_dump_json()
    world.shared.commit([Put(path, {"account": both})])
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    facts = {"command_id": close["command_id"], "account": "demo", "broker": "paper", "status": "filled"}
    at = utc_text(world.wait(1))
    report = {**facts, "filled": "10", "order_id": "7", "reported_at": at}
    app.closer.report(ExecutionReport.model_validate(report))
    fill(world, app, 2, "7")
    theirs, ours = order(order_id="7"), order(order_id="7", side="SELL", quantity="10")
    assert status(statement(world, app, 20, [ours], statement_id="P")) == "FLAT"
    assert status(statement(world, app, 1, [theirs], broker="other", statement_id="O")) == "CLOSING"
    world.wait(1200)  # by then the command is forgotten but for its names
    app.closer.advance("demo")
    state = app.closer.read("demo")
    assert (list(state.sent), list(state.over)) == ([], [close["command_id"]])
    at = state.over[close["command_id"]].until
    assert ("7" in own_names(state, "paper", at), "7" in own_names(state, "other", at)) == (True, False)


def test_of_commands_that_are_forgotten_the_newest_names_are_kept() -> None:
    """A document has no room for all of them, and keeps them by id."""
    moments = {f"C-{n:03}": NOON - timedelta(seconds=n) for n in range(MOST_OVER + 9)}
    many = {name: Over(until=at) for name, at in moments.items()}
    found = ended(ClosingState(account="demo", over=many), NOON, 1)
    assert sorted(found.over) == list(many)[:-9]
    assert "C-000" in own_names(found, "paper", NOON)


def test_a_close_that_two_brokers_carry_out_is_ours_in_the_lists_of_both(world: World) -> None:
    """R5.1: an adapter for each of them; the cancel of an order that works on took both closes off, again and again."""
    brokers = account(brokers=["paper", "other"]).model_dump_json()
    world.shared.commit([Put(account_path("demo"), {"account": brokers})])
    app, _ = world.instance()
    kill(app)
    [close] = closes(world)
    world.wait(1)
    for broker in ("paper", "other"):
        facts = {"command_id": close["command_id"], "account": "demo", "broker": broker, "status": "accepted"}
        at = utc_text(world.clock.now())
        app.closer.report(ExecutionReport.model_validate({**facts, "reported_at": at}))
    ours = order(order_id=close["command_id"], side="SELL", quantity="5")
    for broker in ("paper", "other"):
        statement(world, app, 12, [ours], positions=HELD, broker=broker, statement_id=f"S-{broker}")
    assert (len(cancels(world)), told(world)) == (1, [])


def at_two_brokers(world: World) -> App:
    brokers = account(brokers=["paper", "other"]).model_dump_json()
    world.shared.commit([Put(account_path("demo"), {"account": brokers})])
    app, _ = world.instance()
    kill(app)
    return app


def reported(world: World, app: App, broker: str, **more: Any) -> None:
    [close] = closes(world)
    facts = {"command_id": close["command_id"], "account": "demo", "broker": broker, "status": "accepted"}
    at = utc_text(world.wait(1))
    app.closer.report(ExecutionReport.model_validate({**facts, "reported_at": at, **more}))


def test_of_two_brokers_that_take_no_client_order_id_neither_ones_close_is_foreign(world: World) -> None:
    """R5.1: the number of the last one to report was kept alone; the other's own close was cancelled, again and again."""
    app = at_two_brokers(world)
    for broker, number in (("paper", "p3"), ("other", "o8")):
        reported(world, app, broker, order_id=number)
    for broker, number in (("paper", "p3"), ("other", "o8")):
        ours = order(order_id=number, side="SELL", quantity="5")
        statement(world, app, 12, [ours], positions=HELD, broker=broker, statement_id=f"S-{broker}")
    assert (len(cancels(world)), told(world)) == (1, [])


def test_a_close_that_one_broker_ended_is_ours_in_the_list_of_the_other(world: World) -> None:
    """R5.1: what comes after a final report is an older word, but the number in it is the other's own."""
    app = at_two_brokers(world)
    reported(world, app, "other", order_id="o8", status="filled", filled="10")
    reported(world, app, "paper", order_id="p3")
    ours = order(order_id="p3", side="SELL", quantity="5")
    statement(world, app, 30, [ours], positions=HELD)
    assert (len(cancels(world)), told(world)) == (1, [])
    [sent] = app.closer.read("demo").sent.values()
    assert (sent.status, sent.broker) == ("filled", "other")


def test_a_close_that_a_broker_has_under_several_numbers_is_ours_under_each(world: World) -> None:
    """Domain 2.4: an order for each leg, or a new number for an order that was changed."""
    app = at_two_brokers(world)
    for number in ("p3", "p4"):
        reported(world, app, "paper", order_id=number)
    ours = [order(order_id=number, side="SELL", quantity="5") for number in ("p3", "p4")]
    statement(world, app, 30, ours, positions=HELD)
    assert (len(cancels(world)), told(world)) == (1, [])
    foreign = order(order_id="p3", side="SELL", quantity="5")
    statement(world, app, 12, [foreign], positions=HELD, broker="other", statement_id="O")
    assert (len(cancels(world)), len(told(world))) == (2, 1)


def test_a_broker_that_renames_an_order_for_ever_fills_no_document(world: World) -> None:
    app = at_two_brokers(world)
    for number in range(40):
        reported(world, app, "paper", order_id=f"p{number}")
    [sent] = app.closer.read("demo").sent.values()
    assert sent.order_ids == tuple(("paper", f"p{n}") for n in range(24, 40))


def test_a_fill_that_names_the_order_of_either_broker_is_of_our_close(world: World) -> None:
    """R5.1: the fills of the broker that reported first counted for no command, and the other closed what it had closed."""
    app = at_two_brokers(world)
    for broker, number in (("paper", "p3"), ("other", "o8")):
        reported(world, app, broker, order_id=number)
    for number, name in ((2, "p3"), (3, "o8")):
        app.recorder.record(
            [trade(number, -5, 99, executed_at=world.clock.now(), order_id=name)], f"m-{number}"
        )
    app.closer.advance("demo")
    [sent] = app.closer.read("demo").sent.values()
    assert (sent.is_filled, sent.legs[0].fills) == (True, 2)


def test_the_one_number_of_an_order_that_older_versions_kept_is_read(world: World) -> None:
    """It is of the broker that reported last; of what was over nobody knew at first whose."""
    app = at_two_brokers(world)
    stored = app.closer.read("demo").model_dump(mode="json")
    [(id_, sent)] = stored["sent"].items()
    assert sent.pop("order_ids") == []
    until = utc_text(NOON)
    for broker, known_to in (("paper", {"paper"}), (None, {"paper", "other"}), ("", {"paper", "other"})):
        told = {} if broker == "" else {"broker": broker}
        of_before = {
            **stored,
            "sent": {id_: {**sent, **told, "order_id": "8" if broker else None}},
            "over": {
                "c-1": {"until": until, **told, "order_id": "7"},
                "c-2": {"until": until, **told, "order_id": None},
            },
        }
        read = ClosingState.model_validate(of_before)
        assert {b for b in ("paper", "other") if "7" in own_names(read, b, NOON)} == known_to
        assert {b for b in ("paper", "other") if "8" in own_names(read, b, NOON)} == (
            {broker} if broker else set()
        )
        assert (read.over["c-2"].order_ids, read.sent[id_].broker) == ((), broker or None)
