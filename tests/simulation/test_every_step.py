"""A crash, an error before, an error after, and a second delivery at every single call to a port.

The calls are found in the source (`port_calls`): one that no story passes is a fault of this module, unless it is named in
EXCEPT with its reason.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from simulation.port_calls import Place, Way, calling, places

from emulators.simulator.control import ControlScenario
from emulators.simulator.desk import DeskScenario
from emulators.simulator.faults import NO_FAULTS
from emulators.simulator.focus import Play
from emulators.simulator.run import play, quick
from emulators.simulator.scenario import Scenario
from emulators.simulator.stories import Told
from emulators.simulator.stories_adapters import Silent
from emulators.simulator.stories_alerts import HeldUp, Taken, Unheard
from emulators.simulator.stories_books import LateNews, PutRight, Refused, Repaired
from emulators.simulator.stories_day import EndOfDay, Missing
from emulators.simulator.stories_outages import LateHalt, SecondPath, Whole
from emulators.simulator.stories_people import Settings
from emulators.simulator.stories_restored import Lost, SetBack
from emulators.simulator.world import Delivery

Script = Callable[[int, str, str], str | None]


class Story(NamedTuple):
    """A schedule without faults: who must work in it, and which documents it must write."""

    make: Callable[[], Play]
    handlers: set[str]
    documents: set[str]


class Step(NamedTuple):
    """One call to a port: of which function, and from where. `again`: what it works on may come to another instance.
    `life`: which delivery on which instance, and `effects`: how many of its calls before had an effect.
    """

    function: str
    kind: str
    place: Place
    way: Way
    again: bool
    life: object
    effects: int

    @property
    def same(self) -> object:
        """What steps have in common that are the same one, done again."""
        return self.function, self.kind, self.way

    def left(self, mode: str) -> object:
        """Return what an instance that dies here leaves behind: its memory is gone, and what it has read with it."""
        return self.life, self.effects + (mode == "crash_after")


STORIES = {
    "fills": Story(lambda: Scenario(4, NO_FAULTS, "fills"), {"fills"}, {"fills", "books", "duplicates"}),
    "alerts": Story(lambda: Scenario(2, NO_FAULTS, "alerts"), {"alerts"}, {"alerts", "incidents"}),
    "a day with a statement": Story(
        lambda: Scenario(15, NO_FAULTS, "risk", small=True),
        {"fills", "prices", "sweeps", "alerts", "history"},
        {"books", "marks", "risk", "measures", "statements", "reconciliations", "alerts", "heartbeats"},
    ),
    "a kill that closes": Story(
        lambda: Scenario(32, NO_FAULTS, "kill", small=True),
        {"fills", "sweeps", "http"},
        {"controls", "audit", "closings"},
    ),
    "a kill, a resume, leases": Story(
        lambda: ControlScenario(16, NO_FAULTS, small=True),
        {"http", "sweeps", "api"},
        {"controls", "audit", "leases"},
    ),
    "a halt at the desk": Story(
        lambda: DeskScenario(437, NO_FAULTS, "exits", small=True),
        {"fills", "prices", "sweeps", "http", "api"},
        {"controls", "closings", "books"},
    ),
    "an exit that closes": Story(
        lambda: DeskScenario(539, NO_FAULTS, "exits", small=True),
        {"fills", "prices", "sweeps", "api"},
        {"risk", "closings", "books", "journals"},
    ),
    "settings by two": Story(Settings, {"http", "terminal"}, {"accounts", "approvals", "journals"}),
    "alerts are taken": Story(Taken, {"alerts", "http"}, {"incidents", "alerts", "audit"}),
    "alerts reach nobody": Story(Unheard, {"alerts", "sweeps"}, {"incidents", "alerts"}),
    "alerts are held up": Story(HeldUp, {"alerts"}, {"alerts"}),
    "messages are refused": Story(
        Refused, {"fills", "terminal"}, {"quarantine", "accounts", "books", "audit"}
    ),
    "a book is put right": Story(PutRight, {"fills", "terminal"}, {"fills", "books", "audit"}),
    "a damaged book is repaired": Story(Repaired, {"prices"}, {"risk"}),
    "news of a trade come late": Story(LateNews, {"fills"}, {"fills", "books"}),
    "the end of a day": Story(
        EndOfDay, {"sweeps", "terminal", "http"}, {"sessions", "factors", "heartbeats"}
    ),
    "an order that does not add up": Story(Missing, {"sweeps"}, {"reconciliations"}),
    "a kill without a store": Story(SecondPath, {"http", "sweeps"}, {"controls", "audit"}),
    "the whole is stopped": Story(Whole, {"fills", "http", "sweeps"}, {"controls", "books"}),
    "an adapter falls silent": Story(
        Silent, {"http", "sweeps", "terminal"}, {"leases", "health", "controls", "journals"}
    ),
    "a database is restored": Story(
        SetBack, {"fills", "http", "sweeps", "terminal"}, {"controls", "books", "audit"}
    ),
    "a trading state is lost": Story(Lost, {"http", "sweeps"}, {"controls", "journals", "audit"}),
    "a kill that takes long": Story(LateHalt, {"http", "sweeps"}, {"controls"}),
}
MODES = ("before", "after", "crash_before", "crash_after", "deadline")
AS_BEFORE = {"after", "crash_after"}  # of a call that only reads: nobody can tell when it failed
READS = {"store.get", "store.query", "history.read"}
EXCEPT = {"runtime/embedded.py Embedded.publish: Bus.publish": "one process that is everything, in memory"}
"""Places that no story passes, and why not."""

LONG = os.environ.get("STOPLINE_LONG") == "1"


def tell(scenario: Play, script: Script) -> None:
    """Play the events of a story, each to its end, by a script of faults; the calm that follows has none."""
    if isinstance(scenario, Told):
        trouble = scenario.trouble
        scenario.world.script = lambda *step: script(*step) or trouble(*step[1:])
        scenario.tell()
        return
    scenario.world.script = script
    if isinstance(scenario, ControlScenario):
        scenario.play()
        return
    for event in scenario.events:
        event()
        while scenario.world.step():
            pass


@cache
def steps_of(name: str) -> tuple[Step, ...]:
    """Tell a story without faults; return its steps."""
    steps: list[Step] = []
    written: set[str] = set()
    story = STORIES[name]
    scenario = story.make()
    world = scenario.world
    lives: dict[object, list[str]] = {}
    known: list[Delivery] = []  # so that no other one has its id

    def note(step: int, instance: str, kind: str) -> None:
        delivered = world.under_way()
        again = delivered is not None and len(world.instances[delivered.name]) > 1
        if delivered is None:
            life: object = step
        else:
            known.append(delivered)
            life = id(delivered), delivered.attempts, instance
        effects = lives.setdefault(life, [])
        steps.append(Step(instance.rpartition("-")[0], kind, *calling(), again, life, len(effects)))
        effects += [kind] * (kind not in READS)

    def watch(what: str, value: Any) -> None:
        if what == "committed":
            written.update(write.path.collection for write in value)

    world.watchers.append(watch)
    tell(scenario, note)
    assert not isinstance(scenario, Told) or scenario.undone() == scenario.refused
    assert written >= story.documents
    assert {step.function for step in steps} >= story.handlers
    return tuple(steps)


def to_strike(name: str, mode: str) -> list[int]:
    """Return the numbers of the steps of a story to break. Unless all are asked for: the first of each function and way, and
    of a story told by hand what no story before it passes. An instance that dies before a call leaves behind what it would
    by dying before any call since its last effect, or after that: it dies once of these.
    """
    known = {s.same for earlier in before(name) for s in steps_of(earlier)}
    first: dict[object, int] = {}
    for number, step in enumerate(steps_of(name)):
        if LONG or step.same not in known:
            first.setdefault(number if LONG else step.same, number)
    steps = steps_of(name)
    found = [number for number in first.values() if is_told_apart(steps[number], mode)]
    if mode != "crash_before":
        return found
    dead = {steps[number].left("crash_after") for number in to_strike(name, "crash_after")}
    ends = {steps[number].left(mode): number for number in reversed(found)}
    return sorted(number for left, number in ends.items() if left not in dead)


def before(name: str) -> list[str]:
    """Return the stories whose steps are not broken again in one that is told by hand."""
    names = list(STORIES)
    return names[: names.index(name)] if isinstance(STORIES[name].make, type) else []


def is_told_apart(step: Step, mode: str) -> bool:
    """Tell whether breaking a step in a way differs from the other ways."""
    return step.again if mode == "deadline" else mode not in AS_BEFORE or step.kind not in READS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STORIES)
def test_the_end_state_is_right_whatever_step_breaks(name: str, mode: str) -> None:
    """F07-F12, F15, F16, I1-I6: every step of a story breaks in every way that can be told apart."""
    story, steps, targets = STORIES[name], steps_of(name), to_strike(name, mode)
    with quick():
        whole, covered = unbroken(name), 0
        for target in targets:
            is_broken, outcome = strike(story, mode, target)
            covered += is_broken
            assert outcome == whole, (target, steps[target], outcome ^ whole)
    print(f"{name}, {mode}: {covered} of {len(targets)} broken, of {len(steps)} steps")
    assert covered == len(targets)
    assert targets or mode != "before", "a story is told for a step of its own"


def test_every_place_that_calls_a_port_is_in_a_story() -> None:
    """11.5: what a step is follows from the source, not from the stories: a new call needs a story."""
    passed = {step.place for name in STORIES for step in steps_of(name)}
    existing = places()
    missing = {str(place) for place in existing - passed}
    print(f"places covered {len(passed)} of {len(existing)} existing")
    assert missing == EXCEPT.keys()


@cache
def unbroken(name: str) -> frozenset[str]:
    """Return how a story ends where nothing breaks."""
    return frozenset(strike(STORIES[name], "", -1)[1])


def strike(story: Story, mode: str, target: int) -> tuple[bool, set[str]]:
    """Play a story broken at one step; return whether it was, and how it ended."""
    scenario = story.make()
    world, broken = scenario.world, 0

    def script(step: int, instance: str, kind: str) -> str | None:
        nonlocal broken
        if step != target or broken:
            return None
        broken += 1
        return mode

    tell(scenario, script)
    if not isinstance(scenario, ControlScenario):
        scenario.events = []
        play(scenario)
    is_broken = bool(world.overtaken if mode == "deadline" else broken)
    outcome = scenario.outcome() if isinstance(scenario, Told) else set()
    world.take_apart()
    vars(scenario).clear()
    return is_broken, outcome
