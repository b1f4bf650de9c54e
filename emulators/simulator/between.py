"""A lease is asked for, and between two of its calls to a port everything is stopped: a schedule without chance, which seeds
hardly ever come upon.
"""

from collections.abc import Iterator
from datetime import timedelta

from emulators.simulator.control import ACCOUNT, ControlScenario
from emulators.simulator.faults import NO_FAULTS
from emulators.simulator.venue import GOOD
from emulators.simulator.world import Violated
from stopline.model.control import GLOBAL
from stopline.model.scopes import underlying_scope

SEED = 2  # of a schedule with one version of the code
SLOW = timedelta(seconds=20)  # so long the adapter is told nothing: by then it has traded
OTHER = underlying_scope(ACCOUNT, "BBB")
WORDS = ((("kill", GLOBAL), ("pause", OTHER)), (("pause", OTHER), ("kill", GLOBAL)))


class Between(ControlScenario):
    """The words number `order` of WORDS come before call number `at` of a lease, one after the other; then the adapter
    trades at once by what the lease says.
    """

    def __init__(self, at: int, order: int) -> None:
        super().__init__(SEED, NO_FAULTS, small=True)
        self.events = []
        self.adapter.venue.manners = GOOD
        self.calls = 0
        self._at = at
        self.words = WORDS[order]

    def play(self) -> None:
        """Play it to its end, then check what must be true at rest."""
        world = self.world
        world.script = self._count
        world.watchers.append(self._hold_up)
        self.renew()
        while world.step():
            pass
        world.script = None
        super().play()

    def _count(self, step: int, instance: str, kind: str) -> None:
        """Note a call of a lease; before the one that is asked for let all words be carried out."""
        if not instance.startswith("api"):
            return
        self.calls += 1
        if self.calls != self._at + 1:
            return
        for action, scope in self.words:
            id_ = self.ask(action, scope, "ann")["request_id"]
            while id_ not in self.answers:
                self.world._main.switch()

    def _hold_up(self, what: str, value: object) -> None:
        """Let Pub/Sub be slow with what it has for the adapter."""
        for delivery in self.world.pending:
            if delivery.name == "orders" and not delivery.attempts:
                delivery.not_before = max(delivery.not_before, delivery.published_at + SLOW)


def broken() -> Iterator[str]:
    """Play all of these schedules; yield what each that breaks an invariant broke."""
    for order in range(len(WORDS)):
        at, calls = 0, 1
        while at < calls:
            scenario = Between(at, order)
            try:
                scenario.play()
            except Violated as problem:
                yield f"{problem}, before call {at} of a lease, by {scenario.words}"
            at, calls = at + 1, scenario.calls
