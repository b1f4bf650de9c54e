"""stopline rewind: from when on messages are delivered again, where an older one waits still."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import FailedPrecondition, PermissionDenied, ServiceUnavailable

from stopline.adapters.rewind import MARGIN, seek
from stopline.ports import Unavailable

from ..make import NOON

SINCE = NOON - timedelta(hours=1)
WEEK = timedelta(days=7)


class Subscriber:
    """Pub/Sub's side: a snapshot lives for a week less the age of the oldest message that waits."""

    def __init__(self, oldest: datetime = NOON) -> None:
        self.expires = oldest + WEEK
        self.faults: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.sought: datetime | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.faults:
            raise self.faults[name]

    def create_snapshot(self, request: dict[str, Any], timeout: float) -> Any:
        self._call("create")
        return SimpleNamespace(expire_time=self.expires)

    def delete_snapshot(self, request: dict[str, Any], timeout: float) -> None:
        self._call("delete")

    def seek(self, request: dict[str, Any], timeout: float) -> None:
        self._call("seek")
        self.sought = request["time"]


def sought(subscriber: Subscriber) -> datetime:
    moment = seek("p", "", "fills", SINCE, NOON, client=lambda: subscriber)  # type: ignore[arg-type,return-value]
    assert moment == subscriber.sought, "what it says is what it did"
    return moment


def test_where_nothing_older_waits_it_is_as_asked() -> None:
    """F54."""
    subscriber = Subscriber(NOON - timedelta(minutes=30))
    assert sought(subscriber) == SINCE
    assert subscriber.calls == ["create", "delete", "seek"]


def test_it_goes_back_to_the_oldest_that_is_not_delivered() -> None:
    """F54, I3: what is older than the moment would be acknowledged."""
    oldest = SINCE - timedelta(hours=3)
    assert sought(Subscriber(oldest)) == oldest - MARGIN


def test_what_waits_for_almost_a_week_takes_all_that_is_kept() -> None:
    """F54: of such a subscription there is no snapshot."""
    subscriber = Subscriber()
    subscriber.faults["create"] = FailedPrecondition("expires in less than an hour")
    assert sought(subscriber) <= NOON - WEEK


def test_a_snapshot_that_cannot_be_removed_keeps_nothing_from_being_done() -> None:
    subscriber = Subscriber()
    subscriber.faults["delete"] = ServiceUnavailable("not now")
    assert sought(subscriber) == SINCE


@pytest.mark.parametrize("step", ["create", "seek"])
def test_nothing_is_delivered_again_where_it_is_not_known_what_waits(step: str) -> None:
    subscriber = Subscriber()
    subscriber.faults[step] = PermissionDenied("not yours")
    with pytest.raises(Unavailable, match="not yours"):
        sought(subscriber)
    assert subscriber.sought is None
