"""The app over Google's services: how long each function waits for them."""

from __future__ import annotations

import pytest

from stopline.adapters.firestore import FirestoreStore
from stopline.adapters.pubsub import PubSubBus
from stopline.runtime import google
from stopline.runtime.settings import Settings


def test_the_kill_switch_waits_for_the_store_for_two_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """F41: then a kill takes the second path. A person with a phone does not wait ten seconds."""
    monkeypatch.setattr(google, "settings", lambda: Settings(project="p"))
    google._app.cache_clear()
    try:
        usual, kill = google.app().ports, google.kill_app.__wrapped__().ports
        assert isinstance(kill.store, FirestoreStore)
        assert isinstance(kill.bus, PubSubBus)
        assert isinstance(usual.store, FirestoreStore)
        assert kill.store.timeout_s <= 2 < usual.store.timeout_s
        assert kill.bus.timeout_s <= 3
        assert kill.clock is usual.clock
        assert (
            kill.looks is not kill.each
        )  # no kill waits for the threads in which a resume looks at a thousand accounts
    finally:
        google._app.cache_clear()
