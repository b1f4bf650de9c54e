"""The scheduler: deliveries to instances as greenlets, switched and broken at every call to a port."""

import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from greenlet import GreenletExit, greenlet

from emulators.simulator.faults import Faults
from emulators.topology import Topology, load
from stopline.adapters.memory import MemoryStore
from stopline.model.errors import StoplineError
from stopline.ports import Conflict, Delete, Outgoing, Unavailable

T = TypeVar("T")
START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SLOW = 0.3  # of the answers that may be slow
TRIES = 400  # deliveries of one message before the simulation itself gives up
CALM_TRIES = 40  # the same, from when nothing fails any more


@cache
def topology() -> Topology:
    """Return infra/topology.json."""
    return load()


class Violated(BaseException):
    """An invariant does not hold; the text says which, and what was seen. No handler that catches its errors hides it."""


class Crash(BaseException):
    """The instance dies here: nothing after this point happens, its memory is gone."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A message on its way to the subscription `name`. Two of one message are two, however alike they are."""

    name: str
    message: Outgoing
    id: str
    published_at: datetime = START
    attempts: int = 0
    not_before: datetime = START
    is_unheard: bool = False  # its acknowledgement gets lost

    def again(self) -> "Delivery":
        """Return the same message on its way once more: another delivery, which knows nothing of this one."""
        return Delivery(self.name, self.message, self.id, self.published_at)


@dataclass(slots=True, eq=False)
class Instance:
    """One process of a function: `app` is made anew after a crash."""

    name: str
    make: Callable[["Instance"], Any]
    skew: timedelta = timedelta(0)
    app: Any = None
    busy: bool = False
    lives: int = 0

    def boot(self) -> None:
        self.take_apart()
        self.lives += 1
        self.app = self.make(self)

    def take_apart(self) -> None:
        """Forget what an app is made of: it and its parts know each other, and would wait for a search for garbage."""
        if self.app is None:
            return
        parts = vars(self.app)
        for name in ("recorder", "quarantine"):
            if name in parts:
                vars(parts[name]).clear()
        parts.clear()


@dataclass(slots=True, eq=False)
class Task:
    """A delivery being handled."""

    delivery: Delivery
    instance: Instance
    thread: greenlet = field(repr=False)


Handler = Callable[[Instance, Delivery], None]


class World:
    """One schedule. `rng` decides everything; the same seed and scenario make the same history."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self.faults = faults
        self.now = START
        self.store = MemoryStore()
        self.instances: dict[str, list[Instance]] = defaultdict(list)
        self.handlers: dict[str, Handler] = {}
        self.wants: dict[str, Callable[[Outgoing], bool]] = {}  # the filter of a subscription that has one
        self.pending: list[Delivery] = []
        self.tasks: list[Task] = []
        self.trace: deque[tuple[object, ...]] = deque(maxlen=4000)  # words of a line each: few are ever shown
        self.steps = 0
        self.overtaken = 0  # deliveries that another instance got through with while one was at them
        self.script: Callable[[int, str, str], str | None] | None = (
            None  # faults at given steps, instead of by chance
        )
        self.watchers: list[Callable[[str, Any], None]] = []
        self.gave_up: list[Delivery] = []
        self.give_up: Callable[[Delivery], None] = self.gave_up.append
        self.tries = TRIES
        self.attempts: dict[
            str, int
        ] = {}  # after how many a message of a topic is given up, where that is played
        self._ids = 0
        self._retained: dict[str, list[Delivery]] = defaultdict(list)
        self._outage: dict[str, int] = {}
        self._deaf: dict[str, int] = {}  # topics, and how many more messages each does not take
        self._main = greenlet.getcurrent()
        self._is_over = False

    # --- what the ports call ---

    def effect(self, instance: Instance, kind: str, call: Callable[..., T], *args: object) -> T:
        """Do one call to a port: maybe switch to another delivery first, maybe fail, maybe die."""
        if self._is_over:
            raise GreenletExit
        if self.rng.random() < self.faults.switch:
            self._main.switch()
        fault = self._fault(instance, kind)
        self.steps += 1
        self.trace.append((self.steps, instance.name, kind, fault or ""))
        if fault is None:
            return call(*args)
        if fault == "deadline":
            self._deliver_again()
        if fault == "before":
            raise Unavailable(f"{kind}: injected before")
        if fault == "conflict":
            raise Conflict(f"{kind}: injected contention")
        if fault == "crash_before":
            raise Crash(kind)
        result = call(*args)
        if fault == "after":
            raise Unavailable(f"{kind}: injected after")
        if fault == "crash_after":
            raise Crash(kind)
        return result

    def dawdle(self) -> None:
        """Let others go on for a while, where deliveries are switched at all."""
        if self.faults.switch and self.rng.random() < SLOW:
            for _ in range(self.rng.randint(1, 40)):
                self._main.switch()

    def _deliver_again(self) -> None:
        """Deliver what is under way here once more, and let another instance get through with it before this one goes on:
        Pub/Sub does so past the deadline, and a client that asks again by the same request.
        """
        delivered = self.under_way()
        if delivered is None:
            return
        again = replace(delivered)
        self.pending.append(again)
        while self._is_to_be_done(again):
            self._main.switch()
        self.overtaken += again not in self.pending or again.not_before > self.now

    def under_way(self) -> Delivery | None:
        """Return what is being handled where this is called; None outside of any delivery."""
        here = greenlet.getcurrent()
        return next((task.delivery for task in self.tasks if task.thread is here), None)

    def _is_to_be_done(self, again: Delivery) -> bool:
        """Tell whether a second delivery is being handled, or will be as soon as others go on."""
        if any(task.delivery is again for task in self.tasks):
            return True
        is_next = again in self.pending and again.not_before <= self.now  # and was not sent back
        return is_next and bool(self._idle(again.name))

    def _fault(self, instance: Instance, kind: str) -> str | None:
        if self.script is not None:
            return self.script(self.steps, instance.name, kind)
        port = kind.partition(".")[0]
        left = self._outage.get(port, 0)
        if left:
            self._outage[port] = left - 1
            return "before"
        faults, dice = self.faults, self.rng.random()
        if dice < faults.before:
            return "before"
        dice -= faults.before
        if dice < faults.after:
            return "after"
        dice -= faults.after
        if dice < faults.crash:
            return self.rng.choice(["crash_before", "crash_after"])
        dice -= faults.crash
        if dice < faults.outage:
            self._outage[port] = self.rng.randint(3, 30)
        if faults.contended and kind == "store.commit" and self.rng.random() < faults.contended:
            return "conflict"
        return None

    def is_deaf(self, topic: str) -> bool:
        """Tell whether a topic does not take the message that is published to it now."""
        if not self.faults.deaf:
            return False
        left = self._deaf.get(topic, 0)
        if left:
            self._deaf[topic] = left - 1
        elif self.rng.random() < self.faults.deaf:
            self._deaf[topic] = self.rng.randint(5, 60)
        return left > 0

    def accept(self, message: Outgoing) -> str:
        """Take a published message: one delivery for each subscription of its topic."""
        self._ids += 1
        id_ = f"m{self._ids}"
        wants = self.wants.get(message.topic)
        if message.topic in self.handlers and (wants is None or wants(message)):
            delivery = Delivery(message.topic, message, id_, self.now)
            self.pending.append(delivery)
            while self.rng.random() < self.faults.duplicate:
                self.pending.append(delivery.again())
            if self.faults.seeks and message.topic in topology().topics:
                self._retained[message.topic].append(delivery)
        for watcher in self.watchers:
            watcher("published", (id_, message))
        return id_

    def lines(self) -> list[str]:
        """Return what happened, for people: the last steps of the schedule."""
        return [" ".join(map(str, words)) for words in self.trace]

    def take_apart(self) -> None:
        """Break the rings of objects that a schedule leaves, so that it dies at once and no search for garbage is needed. A
        delivery that a broken schedule leaves in the middle ends here, and touches nothing on its way out.
        """
        self._is_over = True
        for task in self.tasks:
            if task.thread:
                task.thread.throw()
        for instances in self.instances.values():
            for instance in instances:
                instance.take_apart()
        vars(self).clear()

    def calm(self) -> None:
        """Let nothing fail any more: what is not taken now in a few tries never will be."""
        self.faults = Faults(switch=self.faults.switch)
        self.script = None
        self._outage.clear()
        self.tries, self.attempts, self.give_up = CALM_TRIES, {}, self.gave_up.append
        for delivery in (*self.pending, *(task.delivery for task in self.tasks)):
            delivery.attempts, delivery.is_unheard = 0, False

    def seek(self, faults: Faults) -> None:
        """Deliver the last messages of a topic once more after everything was at rest, in any order, among the faults of
        before; and rest again.
        """
        if not self._retained:
            return
        self._expire()
        self.faults, self.tries = replace(faults, gives_up=0.0), TRIES
        kept = self._retained[self.rng.choice(sorted(self._retained))]
        self.pending += [one.again() for one in kept[-max(1, round(faults.seeks * len(kept))) :]]
        for _ in range(60):
            if not self.step():
                break
        self.calm()
        self.rest()

    def _expire(self) -> None:
        """Delete some of the documents whose time to live is over, as Firestore does: late, or not yet."""
        for entry in topology().ttl:
            for document in self.store.query(entry.collection):
                ends = document.data.get(entry.field)
                if ends is not None and ends <= self.now and self.rng.random() < 0.7:
                    self.store.commit([Delete(document.path)])

    # --- the loop ---

    def add(self, name: str, handler: Handler, make: Callable[[Instance], Any], count: int) -> None:
        """Add a subscription with `count` instances."""
        self.handlers[name] = handler
        for number in range(count):
            skew = timedelta(seconds=self.rng.uniform(-self.faults.skew_s, self.faults.skew_s))
            instance = Instance(f"{name}-{number}", make, skew)
            instance.boot()
            self.instances[name].append(instance)

    def step(self) -> bool:
        """Do one thing: start a delivery or let a running one go on. Return whether there was anything to do."""
        now = self.now
        ready = [d for d in self.pending if d.not_before <= now]
        if ready and self.tasks:  # else every instance is idle
            idle = {name for name, instances in self.instances.items() if not all(i.busy for i in instances)}
            ready = [d for d in ready if d.name in idle]
        if ready and (not self.tasks or self.rng.random() < 0.5):
            self._start(self.rng.choice(ready))
            return True
        if self.tasks:
            self._resume(self.rng.choice(self.tasks))
            return True
        return False

    def rest(self, limit: int = 20_000) -> None:
        """Go on until no delivery is pending or running, moving time to whatever waits for it."""
        for _ in range(limit):
            if self.step():
                continue
            if not self.pending:
                return
            self.now = max(self.now, min(d.not_before for d in self.pending))
        raise AssertionError(f"the world does not come to rest: {len(self.pending)} pending")

    def _idle(self, name: str) -> list[Instance]:
        return [instance for instance in self.instances[name] if not instance.busy]

    def _start(self, delivery: Delivery) -> None:
        instance = self.rng.choice(self._idle(delivery.name))
        self.pending.remove(delivery)
        delivery.attempts += 1
        if self.attempts and self._is_at_its_end(delivery):
            return
        if self.rng.random() < self.faults.overlap:
            self.pending.append(delivery.again())
        instance.busy = True
        task = Task(delivery, instance, greenlet(self.handlers[delivery.name], self._main))
        self.tasks.append(task)
        self.trace.append(("- start", delivery.name, delivery.id, "on", instance.name))
        self._resume(task, instance, delivery)

    def _is_at_its_end(self, delivery: Delivery) -> bool:
        """Let a delivery maybe be the last one, after an outage of hours; tell whether it gets nowhere."""
        most = self.attempts.get(delivery.message.topic)
        if most is None or self.rng.random() >= self.faults.gives_up:
            return False
        delivery.attempts = most
        delivery.is_unheard = self.rng.random() < 0.5
        if not delivery.is_unheard:
            self.give_up(delivery)
        return not delivery.is_unheard

    def _resume(self, task: Task, *begin: object) -> None:
        """Let a task go on; `begin`: what its handler begins with."""
        try:
            task.thread.switch(*begin)
        except Violated:
            raise
        except Crash as crash:
            _forget_frames(crash)
            task.instance.boot()
            self._again(task.delivery)
        except StoplineError as problem:
            _forget_frames(problem)
            self.trace.append(("- nack", task.delivery.id, problem))
            self._again(task.delivery)
        except Exception as problem:  # what is sent here is valid or can be refused
            raise Violated(f"I11 {task.delivery.name} knows what it raises: {problem!r}") from problem
        else:
            if task.delivery.is_unheard and task.thread.dead:
                self._again(task.delivery)
        if task.thread.dead:
            task.instance.busy = False
            self.tasks.remove(task)

    def _again(self, delivery: Delivery) -> None:
        if delivery.attempts >= self.attempts.get(delivery.message.topic, self.tries):
            self.give_up(delivery)
            return
        wait = min(60.0, 2.0 ** min(delivery.attempts, 6)) * self.rng.random()
        delivery.not_before = self.now + timedelta(seconds=wait)
        self.pending.append(delivery)


def _forget_frames(problem: BaseException | None) -> None:
    """Let go of the frames that errors came through: they hold the errors, and all that a delivery was about."""
    while problem is not None:
        problem.__traceback__ = None
        problem = problem.__context__
