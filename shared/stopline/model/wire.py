"""JSON at the border: strict in, canonical out."""

import hashlib
import json
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from stopline.model.errors import Rejected

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32


class Message(BaseModel):
    """Base of every message: frozen, no unknown fields, errors as one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


M = TypeVar("M", bound=BaseModel)


def decode_object(raw: bytes, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Decode one JSON object, strictly.

    Refused with a reason: more than `max_bytes`, not UTF-8, a byte order mark, deeper than 32, a key twice,
    NaN or Infinity, numbers beyond a double, control characters or lone surrogates in strings, anything but
    an object.
    """
    if len(raw) > max_bytes:
        raise Rejected("TOO_LARGE", f"message has {len(raw)} bytes, the most is {max_bytes}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Rejected("NOT_UTF8", f"message is not UTF-8 at byte {problem.start}") from None
    if _depth(text) > MAX_DEPTH:
        raise Rejected("TOO_DEEP", f"message is nested deeper than {MAX_DEPTH}")
    try:
        value = json.loads(
            text, object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_float=_finite
        )
    except Rejected:
        raise
    except (ValueError, RecursionError) as problem:
        raise Rejected("BAD_JSON", f"message is not JSON: {str(problem)[:120]}") from None
    if not isinstance(value, dict):
        raise Rejected("NOT_AN_OBJECT", f"message must be a JSON object, was {type(value).__name__}")
    return value


def validate(model: type[M], value: Any) -> M:
    """Build a message from decoded JSON; every fault of the message is named in one Rejected."""
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        raise Rejected("BAD_MESSAGE", describe(problem)) from None


def describe(problem: ValidationError) -> str:
    """Say on one line what is wrong where: `price: must be a plain decimal string ...; side: ...`."""
    faults = []
    for error in problem.errors(include_url=False, include_input=False, include_context=False)[:8]:
        where = ".".join(str(part) for part in error["loc"]) or "message"
        faults.append(f"{where[:60]}: {error['msg'].removeprefix('Value error, ')}")
    more = problem.error_count() - len(faults)
    return "; ".join(faults)[:800] + (f"; and {more} more" if more > 0 else "")


def canonical(value: Any) -> bytes:
    """Encode plain JSON data to its one byte form: sorted keys, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _depth(text: str) -> int:
    """Return the nesting of brackets outside strings, without recursion."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = level = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Rejected("DUPLICATE_KEY", "a JSON object names the same key twice")
    for key, value in pairs:
        if not key.isprintable() or (type(value) is str and not value.isprintable()):
            raise Rejected("BAD_TEXT", f"control characters or lone surrogates near key {key[:40]!a}")
    return result


def _no_constant(name: str) -> float:
    raise Rejected("NOT_FINITE", f"{name} is not a number that Stopline takes")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Rejected("NOT_FINITE", f"number {text[:20]} is beyond the range of a double")
    return value
