"""Close requests on the wire."""

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.closing import CloseRequest
from stopline.model.errors import Rejected
from stopline.model.wire import validate

REQUEST: dict[str, Any] = {
    "request_id": "R-1",
    "account": "demo",
    "strategy": "condors",
    "trade_id": "T-1",
    "leave": "2",
    "rule": "scale_out",
    "reason": "1R reached",
    "cause": "batch-7",
    "requested_at": "2026-11-20T15:02:11Z",
}


def test_a_request_comes_back_as_it_was_sent() -> None:
    """R4.5."""
    request = validate(CloseRequest, REQUEST)
    assert validate(CloseRequest, request.model_dump(mode="json")) == request
    assert (request.scope, request.leave, request.urgency) == ("trade", Decimal(2), "normal")


def test_a_request_without_a_trade_closes_the_whole_strategy() -> None:
    request = validate(CloseRequest, REQUEST | {"trade_id": None, "leave": "0"})
    assert request.scope == "strategy"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"leave": "-1"}, "must be 0 or more"),
        ({"trade_id": None}, "closed to 0"),
        ({"trade_id": None, "underlying": "SPX"}, "closed to 0"),
        ({"trade_id": None, "strategy": None, "symbol": "SPY"}, "closed to 0"),
        ({"symbol": "SPY"}, "all its legs"),
        ({"urgency": "soon"}, "urgent"),
        ({"shares": "1"}, "shares"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        validate(CloseRequest, REQUEST | change)


@pytest.mark.parametrize(
    ("named", "scope", "thing"),
    [
        ({}, "account", "demo"),
        ({"strategy": "condors"}, "strategy", "condors"),
        ({"underlying": "SPX"}, "underlying", "SPX"),
        ({"strategy": "condors", "symbol": "SPY", "leave": "3"}, "position", "SPY"),
    ],
)
def test_what_is_named_is_what_is_closed(named: dict[str, Any], scope: str, thing: str) -> None:
    base = {k: v for k, v in REQUEST.items() if k not in ("strategy", "trade_id", "leave")}
    request = validate(CloseRequest, base | named)
    assert (request.scope, request.object) == (scope, thing)
