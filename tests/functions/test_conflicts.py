"""The same id with other content, many times over: every one is quarantined, people are woken, nothing changes."""

from __future__ import annotations

import json
import os
import random
from typing import Any

from .conftest import Serve, Served, open_accounts, raw_fill

CONFLICTS = int(os.environ.get("STOPLINE_CONFLICTS", "200"))
SYMBOLS = ("SPY", "QQQ", "IWM", "DIA")
BATCH = 50


def made(rng: random.Random, number: int) -> dict[str, Any]:
    return raw_fill(
        f"E-{number}",
        side=rng.choice(("BUY", "SELL")),
        quantity=str(rng.randint(1, 99)),
        price=f"{rng.randint(1, 9999)}.{rng.randint(1, 9)}",
        executed_at=f"2026-11-18T16:{rng.randint(10, 58)}:00Z",
        instrument={"symbol": rng.choice(SYMBOLS), "kind": "equity", "currency": "USD"},
        strategy=rng.choice(("core", "trend")),
        fee=f"0.{rng.randint(1, 9)}",
        order_id=f"O-{number}",
    )


def changed(rng: random.Random, fill: dict[str, Any]) -> dict[str, Any]:
    """Return a fill that says another thing in one to three of its fields."""
    other = {
        "side": "SELL" if fill["side"] == "BUY" else "BUY",
        "quantity": str(int(fill["quantity"]) + rng.randint(1, 5)),
        "price": fill["price"] + "1",
        "executed_at": fill["executed_at"].replace(":00Z", f":{rng.randint(10, 59)}Z"),
        "instrument": {**fill["instrument"], "symbol": "GLD"},
        "strategy": "other",
        "fee": fill["fee"] + "1",
        "order_id": fill["order_id"] + "-2",
    }
    return {**fill, **{name: other[name] for name in rng.sample(sorted(other), rng.randint(1, 3))}}


def stored(served: Served, collection: str) -> list[tuple[str, Any]]:
    return [(document.path.id, document.data) for document in served.world.store.query(collection)]


def test_every_conflicting_duplicate_is_quarantined_and_told_and_changes_nothing(serve: Serve) -> None:
    """B36, R0.3: one to three facts changed at random, beside honest duplicates."""
    rng = random.Random(36)
    served = serve("fills")
    open_accounts(served, "demo")
    fills = [made(rng, number) for number in range(CONFLICTS)]
    for at in range(0, CONFLICTS, BATCH):
        message = {"type": "stopline.fills.v1", "fills": fills[at : at + BATCH]}
        assert served.push(message, message_id=f"m-{at}").status_code == 204
    books, booked = stored(served, "books"), stored(served, "fills")
    assert (len(books), len(booked)) == (1, CONFLICTS)
    for number, fill in enumerate(fills):
        assert served.push(changed(rng, fill), message_id=f"c-{number}").status_code == 204
        if number % 3 == 0:
            assert served.push(fill, message_id=f"d-{number}").status_code == 204
    found = served.quarantined()
    assert len(found) == CONFLICTS
    assert {data["reason"] for data in found} == {"CONFLICTING_DUPLICATE"}
    alerts = [json.loads(m.data) for m, *_ in served.world.bus._queue if m.topic == "alerts"]
    told = [alert["severity"] for alert in alerts if alert["kind"] == "quarantine"]
    assert (set(told), len(told)) == ({"critical"}, CONFLICTS)
    assert (stored(served, "books"), stored(served, "fills")) == (books, booked)
