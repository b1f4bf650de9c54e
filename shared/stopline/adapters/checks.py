"""What Google's services refuse, refused before the network: in memory as on the emulators and in production.

The emulators take much of this (too many attributes, mixed ordering keys, indexed fields without end), so a
test against them proves nothing about it.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from stopline.model.errors import Rejected, Transient
from stopline.ports import SERVER_TIME, Data, Delete, Outgoing, Path, Update, Where, Write

MAX_WRITES = 500
MAX_COMMIT_BYTES = 3 * 1024 * 1024
MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_VALUE_BYTES = MAX_DOCUMENT_BYTES - 89

MAX_MESSAGE_BYTES = 9_000_000  # Pub/Sub takes 10 MB a request, the envelope of its messages included
MAX_KEY_BYTES = 1024
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_NAME_BYTES = 256
MAX_ATTRIBUTE_BYTES = 1024

_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_TOPIC = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


def check_batch(writes: Sequence[Write]) -> None:
    """Refuse a commit that Firestore would refuse, or that would mean something else there."""
    if not 0 < len(writes) <= MAX_WRITES:
        raise ValueError(f"a commit takes 1 to {MAX_WRITES} writes, was {len(writes)}")
    total = 0
    for write in writes:
        check_path(write.path)
        if isinstance(write, Delete):
            continue
        if isinstance(write, Update) and not write.data:
            raise ValueError(f"an update of {write.path} must name a field")
        if isinstance(write, Update) and write.version is None:
            raise TypeError(f"an update of {write.path} needs the version it read")
        total += check_data(write.data, write.path)
    if len({write.path for write in writes}) < len(writes):
        raise ValueError("a commit takes one write per document")
    if total > MAX_COMMIT_BYTES:
        raise Transient(f"commit of {total} bytes is above {MAX_COMMIT_BYTES}")


def check_path(path: Path) -> None:
    """Refuse ids that Firestore refuses, or that would land in a nested document."""
    _check_part(path.collection)
    _check_part(path.id)


def check_data(data: Data, path: Path) -> int:
    """Refuse field values that Firestore cannot hold or that we never store; return the size in bytes."""
    size = 50 + len(path.collection.encode("utf-8")) + len(path.id.encode("utf-8"))
    for name, value in data.items():
        _check_field(name)
        if isinstance(value, str):
            length = (len(value) if value.isascii() else len(value.encode("utf-8"))) + 1
            if length > MAX_VALUE_BYTES:
                raise Transient(f"{path}.{name} would have {length} bytes, the most is {MAX_VALUE_BYTES}")
        elif isinstance(value, bool) or value is None or value is SERVER_TIME:
            length = 1
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{path}.{name} is beyond 64 bits")
            length = 8
        elif isinstance(value, datetime):
            if value.tzinfo is None:
                raise TypeError(f"{path}.{name} is a time without a zone")
            length = 8
        else:
            raise TypeError(f"{path}.{name} cannot hold {type(value).__name__}")
        size += len(name) + 1 + length
    if size > MAX_DOCUMENT_BYTES:
        raise Transient(f"{path} would have {size} bytes, the most is {MAX_DOCUMENT_BYTES}")
    return size


def check_query(collection: str, where: Sequence[Where], order_by: Sequence[str], limit: int | None) -> None:
    """Refuse a query that Firestore cannot run."""
    _check_part(collection)
    for name in (*(condition.field for condition in where), *(name.removeprefix("-") for name in order_by)):
        _check_field(name)
    for condition in where:
        if condition.value is None and condition.op != "==":
            raise ValueError(f"{condition.field} {condition.op} None matches nothing")
        if isinstance(condition.value, datetime) and condition.value.tzinfo is None:
            raise TypeError(f"{condition.field} is compared with a time without a zone")
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, was {limit}")


def sort_fields(where: Sequence[Where], order_by: Sequence[str]) -> list[str]:
    """Return the whole order of a query: as Firestore, by the fields of inequalities behind `order_by`, the way round of
    its last one.
    """
    named = {name.removeprefix("-") for name in order_by}
    unequal = sorted({condition.field for condition in where if condition.op != "=="} - named)
    minus = "-" if order_by and order_by[-1].startswith("-") else ""
    return [*order_by, *(minus + name for name in unequal)]


def check_message(message: Outgoing) -> int:
    """Refuse a message that Pub/Sub refuses; return its size in bytes."""
    if not _TOPIC.fullmatch(message.topic):
        raise ValueError(f"{message.topic[:60]!r} cannot be a topic")
    if not message.data and not message.attributes:
        raise ValueError(f"a message for {message.topic} needs data or an attribute")
    key = len(message.key.encode("utf-8"))
    if key > MAX_KEY_BYTES:
        raise ValueError(f"an ordering key takes {MAX_KEY_BYTES} bytes, was {key}")
    if len(message.attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"a message takes {MAX_ATTRIBUTES} attributes, was {len(message.attributes)}")
    size = len(message.data) + key
    for name, text in message.attributes.items():
        lengths = len(name.encode("utf-8")), len(text.encode("utf-8"))
        if not 0 < lengths[0] <= MAX_ATTRIBUTE_NAME_BYTES or lengths[1] > MAX_ATTRIBUTE_BYTES:
            raise ValueError(f"attribute {name[:40]!r} is longer than Pub/Sub takes")
        size += sum(lengths)
    if size > MAX_MESSAGE_BYTES:
        raise Transient(f"message of {size} bytes for {message.topic} is above {MAX_MESSAGE_BYTES}")
    return size


@lru_cache(4096)
def _check_part(part: str) -> None:
    try:
        size = len(part.encode("utf-8"))
    except UnicodeEncodeError:
        size = 0
    if not size or "/" in part or part in (".", "..") or size > 1500 or (part[:2] == part[-2:] == "__"):
        raise Rejected("BAD_DOCUMENT_ID", f"{part[:60]!a} cannot be a document id")


@lru_cache(1024)
def _check_field(name: Any) -> None:
    """Field names are ours, never a user's: a dot in one would be a path into a map."""
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise ValueError(f"{str(name)[:60]!r} cannot be a field")
