"""One topic of Pub/Sub takes nothing, and the others all: what a stop asks for waits for no alert and no row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from stopline.model.control import ControlRequest, TradingState
from stopline.model.errors import Transient
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Outgoing
from stopline.runtime.app import FOLLOW_EVERY, App
from stopline.service.documents.outbox import Unpublished

from .test_breakers_over_time import BAD, CLEAR, DEMO, holding, read, resume
from .test_cancels_by_scope import refusal
from .test_orders_working import cancels
from .world import World

TOPICS = ("alerts", "history")


def deaf(*topics: str) -> tuple[World, App]:
    """Return a desk that holds a position, and of which these topics take nothing from now on."""
    world, app = holding()
    read(world, app, 100.0)
    world.bus.deaf = set(topics)
    return world, app


def orders(world: World) -> Counter[str]:
    """Count what was sent to the brokers, each time that it was."""
    return Counter(order["action"] for order in world.bus.bodies("orders"))


def by_a_person(app: App, action: str) -> None:
    """Stop the account as the function does."""
    facts = {"request_id": "k1", "scope": DEMO, "action": action, "actor": "ann", "reason": "enough"}
    request = ControlRequest.model_validate(facts | ({"flatten": True} if action == "kill" else {}))
    with pytest.raises(Unpublished):
        app.trading.set(request)
    app.halts.advance(app.trading.done(request).standing)


def bad(world: World, app: App, price: float = BAD, seconds: float = 5) -> None:
    with pytest.raises(Unpublished):
        read(world, app, price, seconds=seconds)


def swept(world: World, app: App) -> None:
    now = world.wait(60)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")


@pytest.mark.parametrize("topics", [("alerts",), ("history",), TOPICS], ids="+".join)
def test_a_persons_kill_closes_at_once_though_another_topic_takes_nothing(topics: tuple[str, ...]) -> None:
    """R5.1, F17: the cancel of everything stood in one outbox with the alert, and the close waited for both: for hours."""
    world, app = deaf(*topics)
    by_a_person(app, "kill")
    assert orders(world) == {"cancel_all": 1, "close": 1}


@pytest.mark.parametrize("topics", [("alerts",), ("history",), TOPICS], ids="+".join)
def test_a_breakers_kill_closes_at_once_though_another_topic_takes_nothing(topics: tuple[str, ...]) -> None:
    """R5.3, F17: and each order is said once, not with every price and every pause beside the kill."""
    world, app = deaf(*topics)
    bad(world, app)
    bad(world, app)
    assert app.trading.standing(DEMO).state is TradingState.HALTED
    for price in (83.0, 82.0, 81.0):
        bad(world, app, price)
    assert orders(world) == {"cancel_adding": 1, "cancel_all": 1, "close": 1}


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("who", ["person", "breaker"])
def test_a_pause_cancels_what_adds_risk_at_once_though_another_topic_takes_nothing(
    who: str, topic: str
) -> None:
    """R5.2, F17: orders that open something worked on until the sweep."""
    world, app = deaf(topic)
    if who == "person":
        by_a_person(app, "pause")
    else:
        bad(world, app)
    assert app.trading.standing(DEMO).state is TradingState.REDUCING
    assert orders(world) == {"cancel_adding": 1}


def test_nothing_is_closed_before_its_cancel_is_out() -> None:
    """R5.1: what is out beside it does not make it so, and a stop that still works would trade beside the close."""
    world, app = deaf("orders", "alerts")
    by_a_person(app, "kill")
    with pytest.raises(Unpublished):
        app.canceller.advance("demo")
    assert app.halts.advance(app.trading.standing(DEMO)) == {"demo": None}, "closing is pending"
    assert not orders(world)
    world.bus.deaf = set()
    swept(world, app)
    assert [order["action"] for order in world.bus.bodies("orders")] == ["cancel_all", "close"]


def test_what_waited_is_told_once_when_the_topic_takes_it_again() -> None:
    """F17: nothing that rode beside an order that is out is lost with it."""
    world, app = deaf(*TOPICS)
    by_a_person(app, "kill")
    with pytest.raises(Transient):
        swept(world, app)
    told = {topic: world.bus.ids(topic) for topic in TOPICS}
    world.bus.deaf = set()
    for _ in range(2):
        swept(world, app)
    for topic in TOPICS:
        new = Counter(world.bus.ids(topic)) - Counter(told[topic])
        assert new
        assert set(new.values()) == {1}
    for document in world.shared.query("controls"):
        assert document.data["outbox_at"] is None


def said_again(app: App, request: str, flatten: bool = False) -> dict[str, str | None]:
    """Kill the account as the function does; return what it answers."""
    facts = {"request_id": request, "scope": DEMO, "action": "kill", "actor": "ann", "reason": "enough"}
    wish = ControlRequest.model_validate(facts | {"flatten": flatten})
    with suppress(Unpublished):
        app.trading.set(wish)
    return app.halts.advance(app.trading.done(wish).standing)


@pytest.mark.parametrize("topic", ["", *TOPICS])
def test_a_kill_that_people_say_again_cancels_again_though_another_topic_takes_nothing(topic: str) -> None:
    """R5.1, F17: it answered HALTED and sent nothing until the sweep, as if a cancel were on its way."""
    world, app = deaf(topic)
    for number in range(3):
        assert said_again(app, f"k{number}") == {"demo": "CANCELLING"}
        assert orders(world) == {"cancel_all": number + 1}
        world.wait(30)


def test_a_kill_that_people_say_again_is_pending_while_its_cancel_is_not_out() -> None:
    """R5.1: what is not known to be out is not said to be."""
    world, app = deaf()
    said_again(app, "k0")
    world.wait(30)
    world.bus.deaf = {"orders"}
    assert said_again(app, "k1") == {"demo": None}


@pytest.mark.parametrize("topic", ["", *TOPICS])
def test_a_cancel_that_was_refused_goes_again_though_another_topic_takes_nothing(topic: str) -> None:
    """R5.1, F17: the alert of the refusal was due, and no other cancel went for as long as it was."""
    world, app = deaf(topic)
    said_again(app, "k1")
    world.wait(2)
    with suppress(Unpublished):
        app.cancel_watcher.report(refusal(world, cancels(world)[-1]["command_id"]))
    world.wait(25)
    app.closer.advance("demo")
    assert orders(world).total() == 2
    world.wait(5)
    assert said_again(app, "k2") == {"demo": "CANCELLING"}
    assert orders(world).total() == len({order["command_id"] for order in world.bus.bodies("orders")}) == 3


@pytest.mark.parametrize("topic", TOPICS)
def test_of_seven_pauses_at_once_the_first_order_waits_once_for_a_topic_that_hangs(topic: str) -> None:
    """R5.2, F40: each waited two seconds or more, one after the other, and the function was gone before the first cancel."""
    world, app = deaf(topic)
    publish, waited = world.bus.publish, list[int]()

    def counted(messages: Sequence[Outgoing]) -> list[str]:
        if any(message.topic == "orders" for message in messages):
            waited.append(world.bus.tries)
        return publish(messages)

    world.bus.publish, world.bus.tries = counted, 0  # type: ignore[method-assign]
    bad(world, app)
    assert len(app.trading.standing(DEMO).holds) > 2
    assert waited[0] == 1


def test_a_persons_kill_waits_for_a_topic_that_hangs_with_its_state_its_cancel_and_its_close() -> None:
    """R5.1, F40: and not once more, when the close asks whether the cancel is out."""
    world, app = deaf("alerts")
    world.bus.tries = 0
    by_a_person(app, "kill")
    assert orders(world) == {"cancel_all": 1, "close": 1}
    assert world.bus.tries == 3


def test_what_could_not_be_begun_is_begun_again_soon() -> None:
    """F40: where the store failed at the first try the sweep had to find it."""
    world, app = deaf("alerts")
    bad(world, app)
    advance, fails = app.halts.advance, [True]

    def lost(standing: object) -> dict[str, str | None]:
        if fails.pop():
            raise Transient("the store did not answer")
        return advance(standing)  # type: ignore[arg-type]

    app.halts.advance = lost  # type: ignore[method-assign]
    bad(world, app)
    app.halts.advance = advance  # type: ignore[method-assign]
    assert app.trading.standing(DEMO).state is TradingState.HALTED
    assert not orders(world)["close"]
    world.wait(FOLLOW_EVERY.total_seconds())
    bad(world, app, 83.0)
    assert orders(world)["close"] == 1


def test_a_kill_soon_after_people_resumed_cancels_at_once() -> None:
    """R5.3, F17: what the one before it had begun is not what this one asks for. Its close waits for the first."""
    world, app = deaf("alerts")
    for _ in range(15):
        bad(world, app)
    world.bus.deaf = set()
    resume(world, app)
    read(world, app, CLEAR, sweep=True, seconds=1)
    world.bus.deaf, before = {"alerts"}, orders(world)
    bad(world, app, seconds=2)
    bad(world, app)
    assert app.trading.standing(DEMO).state is TradingState.HALTED
    assert orders(world) - before == {"cancel_adding": 1, "cancel_all": 1}


def test_prices_of_an_account_that_is_stopped_wait_little_for_a_topic_that_takes_nothing() -> None:
    """R2.4: each of seven pauses and a kill waited for the same messages, so that a batch of prices took half a minute."""
    world, app = deaf("alerts")
    bad(world, app)
    bad(world, app)
    world.bus.tries = 0
    bad(world, app, 83.0)
    assert world.bus.tries <= 4
