"""The envelope: whatever a body is, it is an envelope or refused, and the id of a delivery is stable."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.runtime.envelope import parse_envelope


def push(data: Any = "e30=", **more: Any) -> bytes:
    message = {"data": data, "messageId": "m-1", **more}
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def test_a_push_is_read_with_everything_that_it_says() -> None:
    """R0.3."""
    body = json.loads(
        push(attributes={"account": "demo"}, publishTime="2026-11-18T17:00:00.123Z", orderingKey="k")
    )
    body["deliveryAttempt"] = 3
    read = parse_envelope(json.dumps(body).encode(), {})
    assert (read.data, read.message_id, read.attempt) == (b"{}", "m-1", 3)
    assert read.attributes == {"account": "demo"}
    assert read.published_at == datetime(2026, 11, 18, 17, 0, 0, 123_000, tzinfo=UTC)
    assert read.subscription == "projects/p/subscriptions/s"


def test_the_emulator_s_names_are_taken_too() -> None:
    raw = json.dumps(
        {"message": {"data": "e30=", "message_id": "m-1", "publish_time": "2026-11-18T17:00:00Z"}}
    )
    read = parse_envelope(raw.encode(), {})
    assert (read.message_id, read.published_at) == ("m-1", datetime(2026, 11, 18, 17, 0, tzinfo=UTC))


@pytest.mark.parametrize("message_id", [None, "", 5, ["m"], {}])
def test_a_message_without_an_id_gets_one_from_its_content(message_id: Any) -> None:
    """B04: a redelivery must find its own quarantine record."""
    one = parse_envelope(push(messageId=message_id), {})
    again = parse_envelope(push(messageId=message_id, publishTime="2026-11-18T17:00:00Z"), {})
    other = parse_envelope(push("e30K", messageId=message_id), {})
    assert one.message_id == again.message_id != other.message_id


@pytest.mark.parametrize("value", ["yesterday", 5, "2026-11-18T17:00:00", "", None, {}])
def test_a_publish_time_that_is_none_does_not_cost_the_message(value: Any) -> None:
    assert parse_envelope(push(publishTime=value), {}).published_at is None


@pytest.mark.parametrize(("value", "attempt"), [(None, 1), ("2", 1), (True, 1), (7, 7)])
def test_the_attempt_is_a_number_or_the_first(value: Any, attempt: int) -> None:
    body = {**json.loads(push()), "deliveryAttempt": value}
    assert parse_envelope(json.dumps(body).encode(), {}).attempt == attempt


@pytest.mark.parametrize("name", ["ce-id", "Ce-Id"])
def test_a_binary_cloud_event_brings_its_id(name: str) -> None:
    read = parse_envelope(b'{"type": "x"}', {name: "e-1"})
    assert (read.data, read.message_id) == (b'{"type": "x"}', "e-1")


@pytest.mark.parametrize("data", [None, [], "x", 5])
def test_a_structured_cloud_event_without_an_object_is_refused(data: Any) -> None:
    """B04."""
    with pytest.raises(Rejected) as refused:
        parse_envelope(json.dumps({"data": data}).encode(), {"Content-Type": "application/cloudevents+json"})
    assert refused.value.reason == "BAD_ENVELOPE"


def test_a_body_that_is_neither_is_refused() -> None:
    """B04."""
    with pytest.raises(Rejected, match="neither"):
        parse_envelope(b'{"type": "stopline.fill.v1"}', {"Content-Type": "application/json"})


@pytest.mark.parametrize("says", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_the_body_says_what_a_push_is_and_its_content_type_may_not_say_otherwise(says: str) -> None:
    """B04: a wrong content type costs no message that is one; only that of a CloudEvent asks for another form."""
    assert parse_envelope(push(), {"Content-Type": says}) == parse_envelope(push(), {})
    with pytest.raises(Rejected) as refused:
        parse_envelope(push(), {"Content-Type": "application/cloudevents+json"})
    assert refused.value.reason == "BAD_ENVELOPE"


@pytest.mark.parametrize("data", ["%%%", "e3%0=", "e30", "e30=e30=", "e30=\n", "-_-_", "é", "=", " e30="])
def test_data_that_is_not_base64_is_refused_as_such(data: str) -> None:
    """B03: nothing is guessed out of half a message."""
    with pytest.raises(Rejected) as refused:
        parse_envelope(push(data), {})
    assert refused.value.reason in {"BAD_BASE64", "BAD_TEXT"}


def test_long_ids_are_cut() -> None:
    """B39."""
    assert len(parse_envelope(push(messageId="m" * 5000), {}).message_id) == 200
    assert len(parse_envelope(b"{}", {"ce-id": "e" * 5000}).message_id) == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "message", "attributes", "messageId", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([{}, {"ce-id": "e-1"}, {"Content-Type": "application/cloudevents+json"}]))
def test_any_json_is_an_envelope_or_refused(value: Any, headers: dict[str, str]) -> None:
    """B01-B04, I11."""
    raw = json.dumps(value).encode()
    try:
        read = parse_envelope(raw, headers)
    except Rejected:
        return
    assert read.message_id
    assert all(isinstance(v, str) for v in read.attributes.values())


@given(st.binary(max_size=200))
def test_any_data_comes_out_as_it_went_in(data: bytes) -> None:
    assert parse_envelope(push(base64.b64encode(data).decode()), {}).data == data


@given(st.binary(max_size=100))
def test_any_bytes_are_an_envelope_or_refused(raw: bytes) -> None:
    """B01-B09."""
    try:
        parse_envelope(raw, {})
    except Rejected:
        return
