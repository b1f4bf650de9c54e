"""What chaos and load check at the end: each check fails when what it looks at is broken."""

from __future__ import annotations

import random

import pytest
from e2e.at_rest import check_chains, check_digests, check_outboxes, waiting
from e2e.storm import Effects, Raw, check_books, create_accounts, make_fills
from load.memory import GROWTH, MEGABYTE, growth

from emulators.stack import Message
from stopline.model.control import ControlRequest
from stopline.model.fill import Fill
from stopline.model.wire import canonical, validate
from stopline.ports import Path, Put
from stopline.runtime.app import App
from stopline.service.documents.outbox import Unpublished

from ..make import NOON
from ..service.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(world: World) -> App:
    return world.instance()[0]


@pytest.fixture
def booked(app: App) -> list[Raw]:
    """Twenty fills of two accounts, all booked, their effects sent."""
    create_accounts(app, 2)
    fills = make_fills(random.Random(1), NOON, 20, 2)
    app.recorder.record([validate(Fill, fill) for fill in fills], "m1")
    return fills


def test_at_rest_everything_is_right(app: App, booked: list[Raw]) -> None:
    """I1, I4, I8: the checks take what is right."""
    request = {"request_id": "r", "scope": "account:acc-00", "action": "kill", "actor": "a", "reason": "b"}
    app.trading.set(validate(ControlRequest, request))
    check_outboxes(app)
    assert check_chains(app) == 3, "two accounts opened, one killed"
    check_books(app, booked)
    check_digests(app, booked)


def test_a_fill_that_is_missing_or_another_one_is_seen(app: App, booked: list[Raw]) -> None:
    """I1, I3: the same number of fills with another price, and one more."""
    other = {**booked[0], "price": "1.23"}
    for wrong in ([other, *booked[1:]], booked[1:], [*booked, {**booked[0], "fill_id": "X"}]):
        with pytest.raises(AssertionError):
            check_digests(app, wrong)
    with pytest.raises(AssertionError):
        check_books(app, [other, *booked[1:]])


def test_an_outbox_that_cannot_go_out_is_seen(world: World, app: App, booked: list[Raw]) -> None:
    """I4."""
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.recorder.record([validate(Fill, {**booked[0], "fill_id": "X"})], "m2")
    assert waiting(app)
    with pytest.raises(AssertionError, match="effects are due"):
        check_outboxes(app)


def test_a_changed_row_of_an_audit_chain_is_seen(app: App, booked: list[Raw]) -> None:
    """I8."""
    request = {"request_id": "r", "scope": "account:acc-00", "action": "kill", "actor": "a", "reason": "b"}
    app.trading.set(validate(ControlRequest, request))
    [row] = [d for d in app.store.query("audit") if d.data["chain"] == "account:acc-00"]
    text = row.data["row"].replace('"actor":"a"', '"actor":"z"')
    assert text != row.data["row"]
    app.store.commit([Put(Path("audit", row.path.id), {**row.data, "row": text})])
    with pytest.raises(AssertionError):
        check_chains(app)


def test_an_effect_that_is_lost_or_goes_out_under_two_ids_is_seen(booked: list[Raw]) -> None:
    """I4, I5."""

    def row(fill: Raw, id_: str, price: str = "1") -> Message:
        key = validate(Fill, fill).key
        body = {"rows": [{"table": "fills", "event_id": key, "row": {"price": price}}]}
        return Message(canonical(body), {"effect_id": id_})

    effects = Effects()
    effects.take([row(fill, f"e{number}") for number, fill in enumerate(booked[1:], 1)])
    with pytest.raises(AssertionError, match="1 fills' effects were lost"):
        effects.check(booked)
    effects.take([row(booked[0], "e0")])
    effects.check(booked)
    effects.take([row(booked[0], "other")])
    with pytest.raises(AssertionError, match="two ids"):
        effects.check(booked)


def test_memory_that_grows_is_seen_through_its_noise() -> None:
    """R8.5: 40 % over the run is seen; a warm-up, a peak and noise are none."""
    rng = random.Random(3)
    noise = [rng.randrange(3 * MEGABYTE) for _ in range(100)]
    warm = [min(100, 40 + 4 * n) * MEGABYTE for n in range(100)]
    flat = [a + b for a, b in zip(warm, noise, strict=True)]
    flat[60] = flat[95] = 300 * MEGABYTE
    assert growth(flat) == 0
    assert growth([size + n * MEGABYTE * 2 // 5 for n, size in enumerate(flat)]) > GROWTH
