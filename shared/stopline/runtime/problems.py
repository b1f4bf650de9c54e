"""HTTP answers: JSON, and problems as RFC 9457."""

from collections.abc import Mapping
from typing import Any

from stopline.model.wire import canonical

Answer = tuple[bytes, int, dict[str, str]]
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(status: int, facts: dict[str, Any]) -> Answer:
    """Answer with a JSON object."""
    return canonical(facts), status, {"Content-Type": "application/json", **_HEADERS}


def problem(status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a problem: a stable reason code and one line for a person, no stack trace."""
    body = {"type": "about:blank", "status": status, "title": reason, "detail": detail[:500]}
    return (
        canonical(body),
        status,
        {"Content-Type": "application/problem+json", **_HEADERS, **(headers or {})},
    )
