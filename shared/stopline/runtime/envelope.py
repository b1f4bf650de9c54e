"""The envelope around a message: Pub/Sub's push body, or a CloudEvent that carries one."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.times import parse_utc
from stopline.model.wire import decode_object

MAX_BODY = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """One delivery of a message. `published_at` is None where the sender did not say."""

    data: bytes
    message_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    published_at: datetime | None = None
    subscription: str = ""
    attempt: int = 1


def parse_envelope(body: bytes, headers: Mapping[str, str]) -> Envelope:
    """Read a request body as an envelope.

    Taken: Pub/Sub push (`{"message": {...}, "subscription": ...}`), the same inside a structured or binary
    CloudEvent, and a binary CloudEvent whose body is the message itself. Anything else is Rejected with the
    reason.
    """
    value = decode_object(body, MAX_BODY)
    if headers.get("Content-Type", "").startswith("application/cloudevents+json"):
        inner = value.get("data")
        if not isinstance(inner, dict):
            raise Rejected("BAD_ENVELOPE", "a structured CloudEvent must carry an object in `data`")
        value = inner
    if "message" in value:
        return _pushed(value)
    event_id = headers.get("ce-id") or headers.get("Ce-Id")
    if event_id:
        return Envelope(body, event_id[:200])
    raise Rejected(
        "BAD_ENVELOPE", "the body is neither a Pub/Sub push nor a CloudEvent: `message` is missing"
    )


def _pushed(value: dict[str, Any]) -> Envelope:
    message = value["message"]
    if not isinstance(message, dict):
        raise Rejected("BAD_ENVELOPE", f"`message` must be an object, was {type(message).__name__}")
    encoded = message.get("data", "")
    if not isinstance(encoded, str):
        raise Rejected("BAD_ENVELOPE", f"`message.data` must be base64 text, was {type(encoded).__name__}")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Rejected("BAD_BASE64", f"`message.data` is not base64: {problem}") from None
    attributes = message.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(v, str) for v in attributes.values()):
        raise Rejected("BAD_ENVELOPE", "`message.attributes` must be an object of strings")
    message_id = message.get("messageId") or message.get("message_id")
    if not isinstance(message_id, str) or not message_id:
        message_id = digest("unnamed", encoded)
    attempt = value.get("deliveryAttempt")
    return Envelope(
        data=data,
        message_id=message_id[:200],
        attributes=attributes,
        published_at=_published(message.get("publishTime") or message.get("publish_time")),
        subscription=str(value.get("subscription") or "")[:300],
        attempt=attempt if type(attempt) is int else 1,
    )


def _published(value: Any) -> datetime | None:
    try:
        return parse_utc(value) if value else None
    except ValueError:
        return None
