"""Push functions: 204 for what was done or kept, 503 and 500 for what must come again, and never a trace."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import TestResponse

from stopline.model.wire import MAX_BYTES
from stopline.runtime.envelope import MAX_BODY

from .conftest import Serve, Served, open_accounts, raw_fill

PUSHED = ["fills", "prices", "sweep", "alerts", "history"]


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.fixture
def fills(serve: Serve) -> Served:
    served = serve("fills")
    open_accounts(served, "demo")
    return served


def booked(served: Served) -> int:
    return len(served.world.store.query("fills"))


def test_a_fill_is_booked_and_acknowledged(fills: Served) -> None:
    """R0.3, R1.6."""
    answer = fills.push(raw_fill())
    assert (answer.status_code, answer.data) == (204, b"")
    assert booked(fills) == 1
    assert fills.quarantined() == []


def test_a_redelivery_is_acknowledged_and_books_nothing(fills: Served) -> None:
    """F01, F03."""
    for message_id in ("m-1", "m-1", "m-2"):
        assert fills.push(raw_fill(), message_id=message_id).status_code == 204
    assert booked(fills) == 1
    assert fills.quarantined() == []


def test_a_structured_cloud_event_is_taken(fills: Served) -> None:
    """R0.3: Eventarc with structured mode."""
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": "//pubsub.googleapis.com/projects/p/topics/fills",
        "data": {"message": {"data": encoded(json.dumps(raw_fill()).encode()), "messageId": "m-1"}},
    }
    answer = fills.client.post(
        "/", data=json.dumps(event), content_type="application/cloudevents+json; charset=UTF-8"
    )
    assert (answer.status_code, booked(fills)) == (204, 1)


CE = {
    "ce-id": "e-1",
    "ce-specversion": "1.0",
    "ce-type": "x",
    "ce-source": "//x",
    "Content-Type": "application/json",
}


def test_a_binary_cloud_event_with_a_pubsub_message_is_taken(fills: Served) -> None:
    """R0.3: Eventarc's default."""
    body = {
        "message": {"data": encoded(json.dumps(raw_fill()).encode()), "messageId": "m-1"},
        "subscription": "s",
    }
    assert fills.client.post("/", data=json.dumps(body), headers=CE).status_code == 204
    assert booked(fills) == 1


def test_a_binary_cloud_event_that_is_the_message_itself_is_taken(fills: Served) -> None:
    answer = fills.client.post("/", data=json.dumps(raw_fill()), headers=CE)
    assert (answer.status_code, booked(fills)) == (204, 1)


MALFORMED: dict[str, bytes] = {
    "B01 empty": b"",
    "B01 null": b"null",
    "B01 list": b"[]",
    "B01 string": b'"x"',
    "B01 number": b"0",
    "B02 not JSON": b"not json",
    "B02 truncated": b'{"message": {"data": "',
    "B02 trailing garbage": b'{"message": {"data": ""}} x',
    "B03 no message": b'{"subscription": "s"}',
    "B03 message is text": b'{"message": "x"}',
    "B03 data is a number": b'{"message": {"data": 5}}',
    "B03 no data": b'{"message": {"messageId": "m-1"}}',
    "B03 not base64": b'{"message": {"data": "%%%"}}',
    "B03 base64 of another alphabet": '{"message": {"data": "YWJj\u00e9"}}'.encode(),
    "B03 base64 cut off": b'{"message": {"data": "YWJ"}}',
    "B03 attributes are a list": b'{"message": {"data": "e30=", "attributes": ["x"]}}',
    "B03 attributes are numbers": b'{"message": {"data": "e30=", "attributes": {"a": 1}}}',
    "B05 deep": b'{"message":' * 5000 + b"1" + b"}" * 5000,
    "B06 message twice": b'{"message": {"data": "e30="}, "message": {"data": "e30="}}',
    "B07 byte order mark": b'\xef\xbb\xbf{"message": {"data": "e30="}}',
    "B07 UTF-16": '{"message": {"data": "e30="}}'.encode("utf-16"),
    "B08 invalid UTF-8": b'{"message": {"data": "\xff"}}',
    "B09 NUL": b'{"message": {"data": "e30=", "messageId": "a\\u0000"}}',
}


def post(served: Served, body: bytes) -> TestResponse:
    """Post a body and say how long it is, also when it is empty, as Pub/Sub does."""
    return served.client.post(
        "/",
        input_stream=BytesIO(body),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": str(len(body))},
    )


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body_is_acknowledged_and_quarantined(fills: Served, case: str) -> None:
    """B01-B09, I11: else Pub/Sub would send it for days."""
    for _ in range(2):
        answer = post(fills, MALFORMED[case])
        assert (answer.status_code, answer.data) == (204, b"")
    assert len(fills.quarantined()) == 1
    assert booked(fills) == 0


INNER: dict[str, bytes] = {
    "B01": b"null",
    "B02": b"{oops",
    "B05": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "B06": b'{"type": "stopline.fill.v1", "type": "stopline.fill.v1"}',
    "B08 surrogate in a list": b'{"type": "stopline.fill.v1", "x": ["\\ud800"]}',
    "B09 NUL in a list": b'{"type": "stopline.fill.v1", "x": ["\\u0000"]}',
    "B22": b'{"type": "stopline.fill.v1", "quantity": ' + b"9" * 50_000 + b"}",
    "B29": b'{"type": "stopline.fill.v1", "seq": 18446744073709551616}',
    "B59": b'{"type": "stopline.fill.v999"}',
    "too large": b'{"x": "' + b"y" * MAX_BYTES + b'"}',
}


@pytest.mark.parametrize("name", PUSHED)
@pytest.mark.parametrize("case", INNER)
def test_a_message_that_can_never_succeed_is_acknowledged_and_quarantined(
    serve: Serve, name: str, case: str
) -> None:
    """B01-B09, B22, B29, B59, I10, I11: at every function, once, however often it comes."""
    served = serve(name)
    for _ in range(2):
        assert served.push(INNER[case]).status_code == 204
    assert len(served.quarantined()) == 1


ONE_FLAW: dict[str, tuple[str, str]] = {  # what follows a fill that is right, and why it is refused
    "B05": ('"x": ' + "[" * 300 + "]" * 300, "TOO_DEEP"),
    "B06": ('"quantity": "10"', "DUPLICATE_KEY"),
    "B08": ('"x": ["\\ud800"]', "BAD_TEXT"),
    "B09": ('"x": ["\\u0000"]', "BAD_TEXT"),
    "B22": ('"x": ' + "9" * 50_000, "TOO_LARGE_NUMBER"),
    "B29": ('"seq": 9223372036854775808', "TOO_LARGE_NUMBER"),
}


@pytest.mark.parametrize("case", ONE_FLAW)
def test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it(fills: Served, case: str) -> None:
    """B05, B06, B08, B09, B22, B29: nothing else is wrong with it; without the flaw it is booked."""
    whole = json.dumps(raw_fill())
    flaw, reason = ONE_FLAW[case]
    assert fills.push(f"{whole[:-1]}, {flaw}}}".encode()).status_code == 204
    assert [data["reason"] for data in fills.quarantined()] == [reason]
    assert booked(fills) == 0
    assert fills.push(f'{whole[:-1]}, "seq": 9223372036854775807}}'.encode()).status_code == 204
    assert (len(fills.quarantined()), booked(fills)) == (1, 1)


@pytest.mark.parametrize(
    ("change", "attributes"),
    [
        ({"account": "nobody"}, {}),
        ({"broker": "kite"}, {}),
        ({"quantity": "0"}, {}),
        ({"executed_at": "2026-11-18T17:10:00Z"}, {}),
        ({"executed_at": "2026-09-01T17:10:00Z"}, {}),
        ({}, {"account": "other"}),
        ({}, {"dialect": "kite"}),
    ],
    ids=str,
)
def test_a_fill_that_cannot_be_booked_is_quarantined_with_its_reason(
    fills: Served, change: dict[str, str], attributes: dict[str, str]
) -> None:
    """B17, B34, B35, B48, B60."""
    assert fills.push(raw_fill(**change), attributes).status_code == 204
    [data] = fills.quarantined()
    assert data["detail"]
    assert json.loads(data["attributes"]) == attributes
    assert booked(fills) == 0
    fills.world.run()
    assert len([s for s in fills.world.channels["email"].sent if s.alert.kind == "quarantine"]) == 1


def test_a_conflicting_duplicate_is_quarantined_and_people_are_woken(fills: Served) -> None:
    """B36."""
    fills.push(raw_fill())
    assert fills.push(raw_fill(price="101"), message_id="m-2").status_code == 204
    [data] = fills.quarantined()
    assert data["reason"] == "CONFLICTING_DUPLICATE"
    alerts = [json.loads(m.data) for m, *_ in fills.world.bus._queue if m.topic == "alerts"]
    assert [a["severity"] for a in alerts if a["kind"] == "quarantine"] == ["critical"]


def test_one_bad_fill_of_a_list_is_quarantined_alone(fills: Served) -> None:
    """B56."""
    message = {
        "type": "stopline.fills.v1",
        "fills": [raw_fill("E-1"), raw_fill("E-2", side="buy"), raw_fill("E-3")],
    }
    assert fills.push(message).status_code == 204
    assert booked(fills) == 2
    [data] = fills.quarantined()
    assert data["item"] == 1
    assert json.loads(base64.b64decode(data["raw"]))["fill_id"] == "E-2"


def test_bad_prices_are_quarantined_and_the_good_ones_hold(serve: Serve) -> None:
    """B56, F34."""
    served = serve("prices")
    batch = {
        "type": "stopline.prices.v1",
        "as_of": "2026-11-18T17:00:00Z",
        "symbols": ["SPY", "spy", "QQQ"],
        "last": [100.5, 1, True],
    }
    assert served.push(batch).status_code == 204
    [data] = served.quarantined()
    assert data["reason"] == "BAD_PRICES"
    [marks] = served.world.store.query("marks")
    assert set(json.loads(marks.data["state"])["marks"]) == {"SPY"}


# --- size and method ---


@pytest.mark.parametrize("size", [MAX_BODY + 1, 11 * 1024 * 1024, 40 * 1024 * 1024])
def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(fills: Served, size: int) -> None:
    """B10, F58: not a byte of it is read, and nothing is kept of it."""
    body = BytesIO(bytes(size))
    length = {"CONTENT_LENGTH": str(size)}
    answer = fills.client.post(
        "/", input_stream=body, content_type="application/json", environ_overrides=length
    )
    assert (answer.status_code, answer.data) == (413, b"")
    assert body.tell() == 0
    assert fills.quarantined() == []


def test_a_body_of_unknown_length_is_refused(fills: Served) -> None:
    """B11: chunked and endless."""
    answer = fills.client.post("/", input_stream=BytesIO(b"{}"), headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 413


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
@pytest.mark.parametrize("name", PUSHED)
def test_only_post_is_a_push(serve: Serve, name: str, method: str) -> None:
    """B77."""
    assert getattr(serve(name).client, method)("/").status_code == 405


# --- retries ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fills", raw_fill()),
        (
            "prices",
            {
                "type": "stopline.prices.v1",
                "as_of": "2026-11-18T17:00:00Z",
                "symbols": ["SPY"],
                "last": [100.0],
            },
        ),
        ("sweep", {"type": "stopline.sweep.v1", "kind": "risk"}),
        ("fills", b"not json"),
    ],
)
def test_an_outage_is_not_acknowledged_and_quarantines_nothing(serve: Serve, name: str, message: Any) -> None:
    """F13, I3: 503, and all is well when it comes again."""
    served = serve(name)
    open_accounts(served, "demo")
    served.outage()
    answer = served.push(message)
    assert (answer.status_code, answer.data) == (503, b"")
    served.store.fault = None
    assert len(served.quarantined()) == 0
    assert served.push(message).status_code == 204
    is_bad = isinstance(message, bytes)
    assert len(served.quarantined()) == is_bad
    assert booked(served) == (name == "fills" and not is_bad)


def test_a_failed_publish_is_not_acknowledged(fills: Served) -> None:
    """F17."""
    from stopline.ports import Unavailable

    fills.bus.fault = Unavailable("no bus")
    assert fills.push(raw_fill()).status_code == 503
    assert booked(fills) == 1
    fills.world.run()
    assert fills.world.history.latest("fills") == []
    fills.bus.fault = None
    assert fills.push(raw_fill()).status_code == 204
    fills.world.run()
    assert [row["fill_id"] for row in fills.world.history.latest("fills")] == ["E-1"]
    assert booked(fills) == 1


@pytest.mark.parametrize(
    "problem", [ValueError("grpc says: token=hunter2"), KeyError("x"), RuntimeError("boom")]
)
def test_an_unknown_error_is_not_acknowledged_and_shows_nothing(fills: Served, problem: Exception) -> None:
    """F25, I10, B75: 500 without a trace in the body; never classified by ValueError."""
    fills.store.fault = problem
    answer = fills.push(raw_fill())
    assert (answer.status_code, answer.data) == (500, b"")
    fills.store.fault = None
    assert fills.quarantined() == []
    assert fills.push(raw_fill()).status_code == 204


# --- each function does its work ---


def test_the_sweep_function_beats_the_heart(serve: Serve) -> None:
    """R5.4."""
    served = serve("sweep")
    assert served.push({"type": "stopline.sweep.v1", "kind": "risk"}).status_code == 204
    assert [d.path.id for d in served.world.store.query("heartbeats")] == ["sweep"]


def test_the_alert_function_tells_people(serve: Serve) -> None:
    """R0.3, R6.1."""
    served = serve("alerts")
    alert = {
        "type": "stopline.alert.v1",
        "alert_id": "a-1",
        "kind": "test",
        "object": "x",
        "severity": "warning",
        "summary": "Something happened",
        "raised_at": "2026-11-18T17:00:00Z",
    }
    for _ in range(2):
        assert served.push(alert).status_code == 204
    assert [s.alert.summary for s in served.world.channels["email"].sent] == ["Something happened"]


def test_the_history_function_keeps_rows(serve: Serve) -> None:
    """R0.3."""
    served = serve("history")
    row = {"table": "audit", "event_id": "e-1", "row": {"scope": "global", "event": "kill", "detail": "{}"}}
    bad = {"table": "nowhere", "event_id": "e-2", "row": {}}
    assert served.push({"type": "stopline.history.v1", "rows": [row, bad]}).status_code == 204
    assert [r["event_id"] for r in served.world.history.rows["audit"]] == ["e-1"]
    assert [d["reason"] for d in served.quarantined()] == ["ROW_REFUSED"]


@pytest.mark.parametrize(
    ("subscription", "status"),
    [
        ("projects/ours/subscriptions/live-fills-push", 204),
        ("projects/ours/subscriptions/live-fills-0-push", 204),  # several share the work
        ("projects/ours/subscriptions/eventarc-europe-west1-fills-sub-123", 204),
        ("", 204),  # a CloudEvent names none
        ("projects/ours/subscriptions/staging-fills-push", 403),
        ("projects/ours/subscriptions/live-prices-push", 403),
        ("projects/theirs/subscriptions/live-fills-push", 403),
        ("projects/theirs/subscriptions/eventarc-europe-west1-fills-sub-123", 403),
        ("projects/ours/subscriptions/live-fills-push/x", 403),
    ],
)
def test_what_another_subscription_pushes_is_refused_and_logged(
    fills: Served, subscription: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """B61: staging's fills must not be booked in production."""
    caplog.set_level(logging.WARNING)  # commands of other tests have set it higher
    ports = fills.world.app.ports
    fills.app.ports = replace(ports, store=fills.store, subscriptions="projects/ours/subscriptions/live-")  # type: ignore[arg-type]
    body = {"message": {"data": encoded(json.dumps(raw_fill()).encode()), "messageId": "m-1"}}
    if subscription:
        body["subscription"] = subscription  # type: ignore[assignment]
    assert fills.client.post("/", json=body).status_code == status
    assert booked(fills) == (status == 204)
    assert ("foreign subscription" in caplog.text) == (status == 403)


def test_a_body_that_ends_too_early_is_not_acknowledged(fills: Served) -> None:
    """B02: the rest may come with the next delivery."""
    answer = fills.client.post(
        "/",
        input_stream=BytesIO(b'{"message'),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "90"},
    )
    assert answer.status_code == 400
    assert fills.quarantined() == []
