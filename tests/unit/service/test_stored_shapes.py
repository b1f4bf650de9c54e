"""What strangers send is stored as text: no key of theirs becomes a field, and no value a type of the database."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from stopline.adapters.memory import MemoryStore
from stopline.runtime.embedded import Embedded

from ..make import NOON, account, raw_fill

PLAIN = (str, int, float, bool, datetime, type(None))
VECTOR = {"__type__": "__vector__", "value": [1.0]}
LOOK_ALIKES: dict[str, Any] = {
    "vector": VECTOR,
    "oid": {"$oid": "0123456789abcdef01234567"},
    "decimal": {"$numberDecimal": "1"},
    "reserved": {"__id7__": 1, "__x__": {"a.b": [VECTOR]}},
}


def fields(store: MemoryStore) -> list[tuple[str, str, Any]]:
    """Return collection, field and value of everything that is stored."""
    found = []
    for collection, documents in store._documents.items():
        for data, _version in documents.values():
            found += [(collection, name, value) for name, value in data.items()]
    return found


def test_a_value_that_looks_like_a_type_of_the_database_stays_text() -> None:
    """B50, B51: taken in a fill's unknown fields, refused in a message: both are kept, and as text."""
    world = Embedded(NOON)
    world.app.account_writer.create(account(), "ann")
    world.publish("fills", raw_fill(**LOOK_ALIKES))
    world.publish("fills", {**raw_fill("E-2"), "quantity": VECTOR, "__type__": "__vector__"})
    world.publish("prices", {"type": "stopline.prices.v1", "symbols": VECTOR, "__id7__": VECTOR})
    world.publish("alerts", {**VECTOR, "type": "stopline.alert.v1"})
    world.sweep()
    world.run()
    assert len(world.store.query("fills")) == 1
    assert len(world.store.query("quarantine")) >= 3
    for collection, name, value in fields(world.store):
        items = value if isinstance(value, list | tuple) else [value]
        assert all(isinstance(item, PLAIN) for item in items), (collection, name, value)
        assert name.replace("_", "").isalnum(), (collection, name)
        assert not name.startswith("__"), (collection, name)
    [fill] = world.store.query("fills")
    assert VECTOR in [value.get("vector") for value in map(json.loads, json_texts(fill.data)) if value]


def json_texts(data: Any) -> list[str]:
    """Return the fields that hold JSON objects."""
    return [value for value in data.values() if isinstance(value, str) and value.startswith("{")]
