"""F25: one message that no instance gets through with, among a hundred that are well: by its subscription's attempts."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from emulators.simulator.broker import make_fill
from emulators.simulator.faults import NO_FAULTS
from emulators.simulator.invariants import at_rest
from emulators.simulator.scenario import Scenario
from emulators.simulator.world import START, topology
from stopline.ports import Create

SHARE = {"symbol": "AAA", "kind": "equity", "currency": "USD"}
POISON = "T50"
AT_ONCE = timedelta(
    milliseconds=100
)  # two instances that book for one account at once wait for each other, 1 ms a time


class Poisoned(Scenario):
    """Fills of ten accounts through real push requests to two instances; `harm` befalls each delivery of the poison."""

    def __init__(self, harm: str) -> None:
        super().__init__(10, NO_FAULTS, "letters")
        self.world.faults = NO_FAULTS
        self.world.script = self._script
        self.harm, self.poison = harm, ""
        self.published_at: dict[str, datetime] = {}
        self.booked_at: dict[str, datetime] = {}
        self.world.watchers.append(self._note)
        self.world.wants["sweeps"] = lambda message: (
            "account" not in message.attributes
        )  # what books are worth is for others

    def _begin(self, rng: object) -> None:
        self.accounts = [f"a{number}" for number in range(10)]

    def send(self, id_: str) -> None:
        """Let the broker publish one more fill."""
        number = len(self.published_at)
        account, sign = self.accounts[number % 10], (-1) ** (number // 10)
        self.publish_fill(make_fill(id_, account, SHARE, sign, Decimal(2), Decimal(100), self.world))
        self.published_at[id_] = self.world.now
        if id_ == POISON:
            self.poison = self.world.pending[-1].id

    def _script(self, step: int, instance: str, kind: str) -> str | None:
        delivered = self.world.under_way()
        is_struck = delivered is not None and delivered.id == self.poison and kind == "store.commit"
        return self.harm if is_struck else None

    def _note(self, what: str, value: Any) -> None:
        for write in value if what == "committed" else ():
            if isinstance(write, Create) and write.path.collection == "fills":
                id_ = write.path.id.rpartition(":")[2]
                assert id_ not in self.booked_at, "once"
                self.booked_at[id_] = self.world.now


@pytest.mark.parametrize("harm", ["crash_before", "before"])
def test_a_poison_among_a_hundred_holds_up_nothing_and_ends_as_a_dead_letter(harm: str) -> None:
    """F25, F27, I10: the instance dies of it, or fails, each time. What is well is booked at the moment it comes, beside
    all tries of the poison and between them; people are told, and what was given up is booked once after the mend.
    """
    scenario = Poisoned(harm)
    world, letters = scenario.world, scenario.letters
    assert letters is not None
    for number in range(101):
        scenario.send(f"T{number}")
    tries = 0
    while True:
        while world.step():
            pass
        if not any(delivery.id == scenario.poison for delivery in world.pending):
            break
        tries += 1
        scenario.send(f"L{tries}")
        while world.step():
            pass
        world.now = min(delivery.not_before for delivery in world.pending)
    world.rest()
    attempts = topology().subscriptions["fills-push"].attempts
    lives = sum(instance.lives for instance in world.instances["fills"])
    assert (tries, lives - 2) == (attempts - 1, attempts if harm == "crash_before" else 0)
    well = scenario.published_at.keys() - {POISON}
    assert scenario.booked_at.keys() == well
    late = max(scenario.booked_at[id_] - scenario.published_at[id_] for id_ in well)
    assert late < AT_ONCE
    assert world.now > START
    [letter] = letters.kept
    assert (letter.topic, letter.of, letters.given_up) == ("fills", scenario.poison, {"fills-push": "fills"})
    assert {channel for _, channel, _ in scenario.facts.sent} >= {"email"}
    assert [d.data["status"] for d in world.store.query("alerts") if d.data["kind"] == "dead_letter"] == [
        "delivered"
    ]
    assert world.store.query("quarantine") == []

    world.calm()
    letters.ask()
    world.rest()
    assert scenario.booked_at.keys() == scenario.published_at.keys()
    assert letters.kept == []
    at_rest(scenario)
