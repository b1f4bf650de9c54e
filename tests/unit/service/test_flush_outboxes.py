"""Late outboxes: however many cannot be published, those behind them are."""

from __future__ import annotations

import pkgutil
from datetime import timedelta
from importlib import import_module

import pytest

from stopline import service
from stopline.model.messages import Effect
from stopline.ports import Path, Put
from stopline.service.documents.outbox import outbox_fields
from stopline.service.sweep.flush_outboxes import PAGE, PAGES

from .world import World

GOOD = Effect("a-1", "alerts", "last", {"type": "stopline.alert.v1", "alert_id": "a-1"})


def stuck(world: World, count: int, *, apart: bool) -> None:
    """Write outboxes that nobody can read, older than what comes after them; `apart`: each of a moment of its own."""
    start = world.clock.now()
    for number in range(count):
        at = start + timedelta(milliseconds=number if apart else 0)
        data = {"account": f"s{number:04}", "outbox": "damaged", "outbox_at": at}
        world.shared.commit([Put(Path("risk", f"s{number:04}"), data)])
    last = {"account": "last", **outbox_fields([GOOD], start + timedelta(seconds=9))}
    world.shared.commit([Put(Path("risk", "zz"), last)])


@pytest.mark.parametrize(("count", "apart"), [(PAGE - 1, True), (2 * PAGE + 5, True), (PAGE - 1, False)])
def test_an_outbox_behind_many_that_always_fail_is_published(count: int, apart: bool) -> None:
    """I4, I10: in the same sweep; each of the others is told as failed, once."""
    world = World()
    stuck(world, count, apart=apart)
    app, _ = world.instance()
    failed = app.sweep.flusher.flush(world.wait(60))
    assert "a-1" in world.bus.ids()
    assert world.outbox("risk", "zz") == ()
    assert set(failed) == {f"s{number:04}" for number in range(count)}


def test_a_sweep_has_an_end() -> None:
    """I11: what is behind two thousand that always fail is not reached, and they are told."""
    world = World()
    stuck(world, PAGE * PAGES, apart=True)
    app, _ = world.instance()
    assert len(app.sweep.flusher.flush(world.wait(60))) == PAGE * PAGES - PAGES + 1


NOTHING_DUE = {"marks"}  # prices alone tell nobody anything


def written() -> set[str]:
    """Return the collections that are written with an outbox, by their codecs."""
    modules = [m for m in pkgutil.walk_packages(service.__path__, f"{service.__name__}.") if not m.ispkg]
    kinds = [value for module in modules for value in vars(import_module(module.name)).values()]
    codecs = [kind for kind in kinds if isinstance(kind, type) and kind.__name__.endswith("Codec")]
    return {codec.collection for codec in codecs if hasattr(codec, "collection")} - NOTHING_DUE


@pytest.mark.parametrize("collection", sorted(written()))
def test_what_is_written_with_an_outbox_is_flushed(collection: str) -> None:
    """I4, F09: also where nobody comes back to the document, as to the measures of an account that was deleted."""
    world = World()
    data = {"account": "last", **outbox_fields([GOOD], world.clock.now())}
    world.shared.commit([Put(Path(collection, "zz"), data)])
    app, _ = world.instance()
    assert app.sweep.flusher.flush(world.wait(60)) == {}
    assert world.bus.ids() == ["a-1"]
    assert world.outbox(collection, "zz") == ()
