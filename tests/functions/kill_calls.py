"""How the tests of the kill switch call it, and what they look at afterwards."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.test import TestResponse

from stopline.model.messages import CommandAction
from stopline.model.scopes import scope_of
from stopline.model.times import utc_text
from stopline.ports import Put
from stopline.rules.trading.cancel_commands import cancel_of
from stopline.runtime.app import App

from .conftest import ANN, Served, raw_fill

CONFIRM = "RESUME account:demo"


def call(
    served: Served,
    path: str = "/kill",
    body: Any = None,
    token: str | None = ANN,
    method: str = "POST",
    content_type: str = "application/json",
    **more: Any,
) -> TestResponse:
    raw = (
        body
        if isinstance(body, bytes)
        else json.dumps({**request(), **more} if body is None else body).encode()
    )
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return served.client.open(path, method=method, data=raw, headers=headers, content_type=content_type)


def request(**more: Any) -> dict[str, Any]:
    return {"request_id": "r-1", "scope": "account:demo", "reason": "test", **more}


def status(served: Served, scope: str = "account:demo", token: str = ANN) -> TestResponse:
    return served.client.get(f"/status?scope={scope}", headers={"Authorization": f"Bearer {token}"})


def orders(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for document in [*served.world.store.query("controls"), *served.world.store.query("closings")]:
        found += [
            body for _, topic, _, body in json.loads(document.data["outbox"] or "[]") if topic == "orders"
        ]
    return found


def strange(answer: TestResponse) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.data, dict(answer.headers)


def damage(switch: Served, collection: str, id_: str) -> None:
    """Let nobody read a document, from a cold start on."""
    field = "account" if collection == "accounts" else "state"
    [stored] = [d for d in switch.world.store.query(collection) if d.path.id == id_]
    switch.world.store.commit([Put(stored.path, {**stored.data, field: "{"})])
    cold(switch)


def cold(switch: Served) -> None:
    """Let the function begin anew: nothing of before is kept in memory."""
    fresh = App(switch.app.ports)
    vars(switch.app).clear()
    vars(switch.app).update(vars(fresh))


def hold_spy(switch: Served, fill_id: str = "E-1") -> None:
    switch.world.publish("fills", raw_fill(fill_id))
    switch.world.run()


def refuse(switch: Served, scope: str, epoch: int) -> None:
    """Have a broker say that it did not cancel what a stop of a scope has cancelled."""
    named, now = scope_of(scope), switch.world.clock.now()
    id_ = cancel_of(named, CommandAction.CANCEL_ALL, epoch, now).id
    facts = {"type": "stopline.report.v1", "command_id": id_, "account": named.account, "broker": "other"}
    said = {"status": "rejected", "reason": "no", "reported_at": utc_text(now)}
    switch.world.publish("fills", {**facts, **said})
    switch.world.run()
