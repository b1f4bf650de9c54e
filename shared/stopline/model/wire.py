"""JSON at the border: strict in, canonical out."""

import hashlib
import json
import re
from array import array
from collections.abc import Collection
from itertools import accumulate
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from stopline.model.errors import Rejected

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32


class Message(BaseModel):
    """Base of every message: frozen, no unknown fields, errors as one line."""

    # defer_build: an instance builds what it validates, when it first does, and starts without the rest
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


M = TypeVar("M", bound=BaseModel)


def decode_object(raw: bytes, max_bytes: int = MAX_BYTES, free: Collection[str] = ()) -> dict[str, Any]:
    """Decode one JSON object, strictly.

    Refused with a reason: more than `max_bytes`, not UTF-8, a byte order mark, deeper than 32, a key twice,
    NaN or Infinity, numbers beyond a double or a 64-bit integer, control characters or lone surrogates in
    strings, anything but an object. What is returned can be written again by `canonical`, but for the fields `free`: of
    these the caller replaces what cannot be.
    """
    if len(raw) > max_bytes:
        raise Rejected("TOO_LARGE", f"message has {len(raw)} bytes, the most is {max_bytes}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Rejected("NOT_UTF8", f"message is not UTF-8 at byte {problem.start}") from None
    if _depth(raw) > MAX_DEPTH:
        raise Rejected("TOO_DEEP", f"message is nested deeper than {MAX_DEPTH}")
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        raise Rejected("BAD_JSON", f"message is not JSON: {str(problem)[:120]}") from None
    if not isinstance(value, dict):
        raise Rejected("NOT_AN_OBJECT", f"message must be a JSON object, was {type(value).__name__}")
    if "\\" in text or not text.isascii() or "\x7f" in text:  # JSON itself allows no other way to write them
        _check_text({name: part for name, part in value.items() if name not in free}, "message")
    return value


def validate(model: type[M], value: Any) -> M:
    """Build a message from decoded JSON; every fault of the message is named in one Rejected."""
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        raise Rejected("BAD_MESSAGE", describe(problem)) from None


def describe(problem: ValidationError) -> str:
    """Say on one line what is wrong where: `price: must be a plain decimal string ...; side: ...`.

    A place is where the field is in the message, without the names of pydantic's own types; of a setting that may be
    `off` too, what is wrong with its value is enough.
    """
    found: dict[str, list[str]] = {}
    for error in problem.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in error["loc"] if not _is_type(part)) or "message"
        if error["type"] == "too_short" and any(other.startswith(f"{where}.") for other in found):
            continue  # items that are wrong are not counted: they have been named
        found.setdefault(where, []).append(_plain(error["msg"]))
    faults = []
    for where, texts in found.items():
        inner = any(other.startswith(f"{where}.") for other in found)
        named = [text for text in dict.fromkeys(texts) if text != _OFF or (len(texts) == 1 and not inner)]
        faults += [f"{where[:60]}: {text}" for text in named]
    return "; ".join(faults[:8])[:800] + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")


_OFF = "must be 'off'"
_WORDS = [
    (re.compile(pattern), words)
    for pattern, words in (
        ("^Value error, ", ""),
        ("^Input should be ", "must be "),
        ("^Field required$", "is missing"),
        ("^Extra inputs are not permitted$", "is no field of this"),
        ("must be a valid integer.*", "must be a whole number"),
        ("must be a valid boolean.*", "must be true or false"),
        ("must be a valid (tuple|list).*", "must be a list"),
        ("must be a valid dictionary.*", "must hold fields or keys"),
        ("^(Tuple|List|Dictionary|String) should have", "must have"),
        (" after validation, not (\\d+)$", ", has \\1"),
    )
]
"""What pydantic says, and how a person would."""


def _is_type(part: object) -> bool:
    """Tell whether a part of a place is a type that pydantic tried, not a field, a key or a number in a list."""
    if not isinstance(part, str):
        return False
    is_schema = "[" in part or part.startswith(("function-", "constrained-"))
    return is_schema or (
        not part[:1].islower() and any(part == model.__name__ for model in Message.__subclasses__())
    )


def _plain(text: str) -> str:
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text


def canonical(value: Any) -> bytes:
    """Encode plain JSON data to its one byte form: sorted keys, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and, as a signed byte, -1


def _depth(raw: bytes) -> int:
    """Return the nesting of brackets outside strings, without recursion; 0 where it cannot be too deep."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0
    brackets = _STRING.sub(b"", raw).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(array("b", brackets)), default=0)


def _check_text(value: Any, where: str) -> None:
    """Refuse keys and strings, however deep, that hold what cannot be shown or stored."""
    if isinstance(value, str):
        if not value.isprintable():
            raise Rejected("BAD_TEXT", f"control characters or lone surrogates near key {where[:40]!a}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, key)
            _check_text(item, key)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, where)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Rejected("DUPLICATE_KEY", "a JSON object names the same key twice")
    return result


def _no_constant(name: str) -> float:
    raise Rejected("NOT_FINITE", f"{name} is not a number that Stopline takes")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Rejected("NOT_FINITE", f"number {text[:20]} is beyond the range of a double")
    return value


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise Rejected("TOO_LARGE_NUMBER", f"number {text[:20]}... is beyond a 64-bit integer")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
)
