"""HTTP answers: JSON, and problems as RFC 9457. What is our own fault is logged with its trace, and not told."""

import logging
from collections.abc import Mapping
from typing import Any

from stopline.model.errors import Rejected, Transient
from stopline.model.wire import canonical
from stopline.ports import Conflict
from stopline.rules.trading.resuming import TooEarly
from stopline.runtime.auth import Forbidden, Missing, NotAdmitted, Unauthenticated
from stopline.runtime.quotas import TooMany

log = logging.getLogger("stopline")
Answer = tuple[bytes, int, dict[str, str]]
_CONFLICTS = (
    "CONFLICTING_REQUEST",
    "STALE_RESUME",
    "STALE_VERSION",
    "SAME_PERSON",
    "NOT_READY",
    "CLOSES_NOW",
)
_STATUS = {"TOO_LARGE": 413, "UNSUPPORTED": 415, **dict.fromkeys(_CONFLICTS, 409)}
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


def refusal(found: Exception, unknown: str) -> Answer:
    """Return the answer to a request that raised. `unknown`: what the caller is to think where we cannot tell."""
    match found:
        case Unauthenticated():
            return problem(401, "UNAUTHENTICATED", str(found))
        case NotAdmitted():
            return problem(403, "NOT_ADMITTED", str(found))
        case Missing():
            return problem(403, "FORBIDDEN", str(found))
        case Forbidden():
            return problem(404, "NOT_FOUND", str(found))
        case TooEarly():
            return problem(423, found.reason, found.detail, {"Retry-After": str(found.after_s)})
        case TooMany():
            return problem(429, "TOO_MANY", str(found), {"Retry-After": str(found.after_s)})
        case Rejected():
            return problem(_STATUS.get(found.reason, 400), found.reason, found.detail)
        case Conflict():
            return problem(409, "CONFLICT", "somebody else changed it at the same time: read it again")
        case Transient():
            log.error("state store unavailable", exc_info=found)
            return problem(503, "UNAVAILABLE", unknown)
    log.error("unknown error", exc_info=found)
    return problem(500, "UNKNOWN_ERROR", unknown)
