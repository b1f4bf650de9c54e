"""F17: what is committed and cannot be published stays due, is told outside a minute later, to people after four, and goes
out once it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from stopline.model.errors import Transient
from stopline.model.messages import Sweep, SweepKind
from stopline.ports import Outgoing, Unavailable
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import account, fill
from .world import RecordingBus, World


class PartlyDown(RecordingBus):
    """A bus of which some topics take nothing: they are gone, forbidden, or over their quota."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        ids = super().publish([message for message in messages if message.topic not in self.refused])
        if self.refused & {message.topic for message in messages}:
            raise Unavailable("403")
        return ids


@dataclass
class Beats:
    """Whoever watches from outside the cloud."""

    heard: list[bool] = field(default_factory=list)

    def beat(self, ok: bool) -> None:
        self.heard.append(ok)


def told(bus: RecordingBus) -> dict[str, list[bool]]:
    """Return whose outbox people were told of, and whether that was over."""
    found: dict[str, list[bool]] = {}
    for alert in bus.bodies("alerts"):
        if alert["kind"] == "account_unwatched":
            found.setdefault(alert["account"], []).append(alert["resolved"])
    return found


@pytest.mark.parametrize(
    "refused", [{"history"}, {"history", "alerts", "sweeps", "orders"}], ids=["one topic", "all"]
)
def test_an_outbox_that_waits_is_told_outside_after_a_minute_and_to_people_after_four(
    refused: set[str],
) -> None:
    """F17, I4: the outside heartbeat hears of it with the first round, 60 s after. People hear by an alert with the fourth,
    where alerts can go out at all. Nothing is lost or given up, and it is over when it is published.
    """
    bus, beats = PartlyDown(), Beats()
    world = World(bus=bus)
    for name in ("demo", "other"):
        world.open_account(account(name))
    app, _ = world.instance()
    sweep(world, app)
    bus.refused = refused
    with pytest.raises(Unpublished):
        app.recorder.record([fill()], "m-1")
    due = [effect.id for effect in world.outbox("books", "demo")]
    app = App(replace(app.ports, beacon=beats))
    heard: dict[int, dict[str, list[bool]]] = {}
    for minute in range(1, 5):
        with pytest.raises(Transient, match="books/demo"):
            sweep(world, app)
        heard[minute] = told(bus)
        assert [effect.id for effect in world.outbox("books", "demo")] == due
    assert beats.heard == [False] * 4, "the first of them 60 s after"
    people = {"demo": [False]} if "alerts" not in refused else {}
    assert heard == {1: {}, 2: {}, 3: {}, 4: people}

    bus.refused = set()
    sweep(world, app)
    assert set(due) <= set(bus.ids())
    assert world.outbox("books", "demo") == ()
    assert beats.heard[-1] is True
    if people:
        assert told(bus) == {"demo": [False, True]}


def sweep(world: World, app: App) -> None:
    now = world.wait(60)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s-{now.timestamp()}")
