"""Short stories of the trading state that hardly ever come about by themselves: each is told amid whatever else goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from stopline.model.control import account_scope
from stopline.model.scopes import strategy_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulators.simulator.control import ControlScenario

ACCOUNT = "a"
OWN = account_scope(ACCOUNT)
SWINGS = (  # of a breaker that trips above 10
    ("11", "11", "5", "11", "5"),
    ("11", "11", "5", "11", "5", "5"),
    ("11", "5", "11", "11", "9.6"),
    ("11", "12", "12.5", "14", "5", "11"),
)
A_MINUTE = timedelta(seconds=61)


def half_opens(scenario: ControlScenario) -> None:
    """A streak cools down, and a money breaker is lifted by a person: two sizes that are small, one for a time only."""
    rng, actors = scenario.rng, ["breaker:loss", "limit:max_consecutive_losses"]
    rng.shuffle(actors)
    for actor in actors:
        scenario.ask("pause", OWN, actor)
        scenario.let(5, 25)
        if actor == "breaker:loss":
            scenario.world.now += A_MINUTE
            scenario.ask_to_resume(OWN, ("ann",))
            scenario.let(5, 25)
    for _ in range(2):  # the cool-down, and as long again at a part of the size
        scenario.world.now += A_MINUTE
        scenario.sweep()
        scenario.let(10, 40)


def used_id(scenario: ControlScenario) -> None:
    """An id is used, its stop is over, and it is used once more for a kill, while the store is down."""
    rng, world = scenario.rng, scenario.world
    first = rng.choice((OWN, OWN, strategy_scope(ACCOUNT, "core")))
    reason = rng.choice(("test", "another"))
    body = scenario.ask(rng.choice(("kill", "kill", "pause")), first, "ann", reason=reason)
    scenario.let(5, 30)
    world.now += A_MINUTE
    scenario.ask_to_resume(first, ("ann",))
    scenario.let(5, 30)
    world.now += A_MINUTE
    scenario.repeat(
        {**body, "action": "kill", "scope": rng.choice((OWN, first)), "reason": "test"}, down=True
    )
    scenario.let(5, 20)
    world._outage.pop("store", None)
    scenario.renew()


def late_resume(scenario: ControlScenario) -> None:
    """A resume is written, and while it is on its way another stop of the same kind is added."""
    rng = scenario.rng
    scope = rng.choice((OWN, strategy_scope(ACCOUNT, "core")))
    action = rng.choice(("kill", "pause"))
    scenario.ask(action, scope, "ann", flatten=False)
    scenario.let(10, 30)
    send = scenario.write_resume(scope, "ann")
    scenario.ask(action, scope, rng.choice(("bob", "limit:max_position_value")), flatten=False)
    scenario.let(10, 30)
    scenario.world.now += A_MINUTE
    send()


def swing(scenario: ControlScenario) -> None:
    """A value swings round a breaker's threshold."""
    rng = scenario.rng
    values = list(rng.choice(SWINGS))
    if rng.random() < 0.2:
        rng.shuffle(values)
    for value in values:
        scenario.gauge(value, looks=rng.random() < 0.5)
        scenario.let(4, 16)
        scenario.world.now += timedelta(seconds=rng.choice((1, 3, 3, 20)))
    if rng.random() < 0.5:
        scenario.world.now += A_MINUTE
        scenario.ask_to_resume(OWN, ("ann", "bob"))


def unwatched(scenario: ControlScenario) -> None:
    """No sweep comes for minutes, and the adapter goes on asking for leases and trading."""
    rng = scenario.rng
    silent, more = rng.choice(
        ((100, 0), (165, 30), (165, 50), (185, 0), (240, 0))
    )  # the last lease may go on
    scenario.world.now += timedelta(seconds=silent)
    scenario.renew()
    scenario.let(10, 40)
    scenario.world.now += timedelta(seconds=more)
    scenario.trade("core", rng.choice(("AAA", "BBB")))


STORIES: tuple[Callable[[ControlScenario], None], ...] = (
    half_opens,
    used_id,
    late_resume,
    swing,
    unwatched,
    unwatched,
)
