"""Broken messages out of good ones: bytes damaged, values replaced, structure twisted. A seed decides everything."""

from __future__ import annotations

import json
import random
from typing import Any

NASTY: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    0.1,
    1e308,
    "",
    " ",
    "0",
    "-0",
    "NaN",
    "sNaN",
    "Infinity",
    "1E+999999",
    "1e-999999",
    "0." + "0" * 40 + "1",
    "9" * 5000,
    "1_000",
    "１２",  # full-width digits
    "½",
    "0x10",
    "2026-02-30T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2026-11-18T17:00:00",
    "..",
    "__id7__",
    "a/b/c",
    "projects/p/databases/d/documents/controls/global",
    "%2e%2e%2f",
    "\u202eexe",
    "\ud800",
    "\x00",
    "line\nbreak",
    "ВTC",  # a Cyrillic letter
    "e\u0301",
    "=1+1",
    "@everyone",
    "<script>alert(1)</script>",
    "Bearer abcdef0123456789",
    [],
    {},
    [[[[[]]]]],
    {"__type__": "__vector__", "value": [1.0]},
    {"$numberDecimal": "1"},
]
SPLICES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"}{",
    b"[[[[[[[[",
    b'"',
    b"\\ud800",
    b"NaN",
    b"-",
    b"1e999",
    b",",
]


def mutated(rng: random.Random, text: bytes) -> bytes:
    """Return a message damaged in one to four ways."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        text = _twisted(rng, text) if rng.random() < 0.75 else _damaged(rng, text)
    return text


def _damaged(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice([0, 1, 1, 2, 8, 64]))
    match rng.randrange(5):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + rng.choice(SPLICES) + text[end:]
        case 2:
            return text[:at] + bytes(rng.randrange(256) for _ in range(end - at)) + text[end:]
        case 3:
            return text[:at] + text[at:end] * rng.choice([2, 3, 300]) + text[end:]
        case _:
            return text.decode("utf-8", "replace").encode(
                rng.choice(["utf-16", "utf-32", "latin-1", "utf-8"]), "replace"
            )


def _twisted(rng: random.Random, text: bytes) -> bytes:
    """Change one value of a JSON message, or its place; bytes that are no JSON are damaged instead."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _damaged(rng, text)
    places = list(_places(value))
    if not places:
        return _damaged(rng, text)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0 if isinstance(holder, dict):
            holder[rng.choice(["extra", "__proto__", "limits", "role", "", "a" * 2000, "ünï"])] = rng.choice(
                NASTY
            )
        case 1 if isinstance(holder, dict):
            del holder[key]
        case 2:
            holder[key] = _other(rng, value, places)
        case 3:
            holder[key] = [holder[key]] * rng.choice([1, 2, 250])
        case 4:
            holder[key] = str(holder[key])
        case 5:
            return _repeated_key(rng, value)
        case _:
            holder[key] = rng.choice(NASTY)
    try:
        return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return text


def _other(rng: random.Random, value: Any, places: list[tuple[Any, Any]]) -> Any:
    holder, key = rng.choice(places)
    return json.loads(json.dumps(holder[key] if rng.random() < 0.8 else value))


def _repeated_key(rng: random.Random, value: Any) -> bytes:
    """Say one key twice, with two values."""
    text = json.dumps(value)
    if not isinstance(value, dict) or not value:
        return text.encode()
    key = rng.choice(list(value))
    return (text[:-1] + f", {json.dumps(key)}: {json.dumps(rng.choice(NASTY))}}}").encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (holder, key or index) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = (
            list(holder)
            if isinstance(holder, dict)
            else range(len(holder))
            if isinstance(holder, list)
            else ()
        )
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found
