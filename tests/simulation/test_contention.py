"""F14: many instances book fills of one instrument at once. Nobody's is lost, and somebody always gets on."""

from collections import Counter
from decimal import Decimal
from typing import Any

from emulators.simulator.broker import make_fill
from emulators.simulator.faults import Faults
from emulators.simulator.invariants import at_rest
from emulators.simulator.run import quick
from emulators.simulator.scenario import Scenario
from stopline.service.documents.aggregate import TRIES

WRITERS = 64


def test_sixty_four_writers_of_one_book_lose_nothing_and_get_on() -> None:
    """F14: each instance gives way at every call, so that all have read the book before the first one writes."""
    scenario = Scenario(0, Faults(switch=1.0), "fills", small=True)
    world = scenario.world
    world.add("fills", world.handlers["fills"], scenario._app, WRITERS - len(world.instances["fills"]))
    calls, won = Counter[str](), Counter[int]()

    def count(_: int, __: str, kind: str) -> None:
        calls[kind] += 1

    def watch(what: str, value: Any) -> None:
        if what == "committed":
            won.update(write.data["fills"] for write in value if write.path.collection == "books")

    world.script = count
    world.watchers.append(watch)
    contract = {"symbol": "AAA", "kind": "equity", "currency": "USD"}
    for number in range(WRITERS):
        sign = 1 if number % 3 else -1
        price = Decimal(10_000 + number) / 100
        scenario.publish_fill(make_fill(f"T{number}", "a", contract, sign, Decimal(number + 1), price, world))
    with quick():
        world.rest()
        scenario.sweep()
        world.rest()
        at_rest(scenario)
    nacks = sum(line.startswith("- nack") for line in world.lines())
    print(f"{WRITERS} writers, {sum(won.values())} commits, {calls['store.commit']} tries, {nacks} nacks")
    assert won == Counter(range(1, WRITERS + 1)), "each commit is of one fill more, and none is undone"
    assert calls["store.commit"] <= WRITERS * TRIES, "somebody gets on at every try"
