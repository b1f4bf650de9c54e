"""Deliver again what a subscription has acknowledged: Pub/Sub's seek to a moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stopline.adapters.dead_letters import connect
from stopline.ports import Unavailable

if TYPE_CHECKING:
    from google.pubsub_v1 import SubscriberClient

log = logging.getLogger("stopline")
SNAPSHOT_LASTS = timedelta(days=7)  # less the age of the oldest message that is not acknowledged
MARGIN = timedelta(minutes=1)  # what comes again is a duplicate, what is given up is lost


def seek(
    project: str,
    prefix: str,
    topic: str,
    since: datetime,
    now: datetime,
    *,
    client: Callable[[], SubscriberClient] = connect,
    timeout_s: float = 10.0,
) -> datetime:
    """Have all messages of a topic's push subscription delivered again that were published since a moment; return from
    when on they are. That is earlier where an earlier one is not delivered yet: a seek acknowledges all before its moment.

    The subscription must retain acknowledged messages (`retain_acked` in the topology). Raises Unavailable.
    """
    from google.api_core import exceptions

    name = f"projects/{project}/subscriptions/{prefix}{topic}-push"
    snapshot = f"projects/{project}/snapshots/{prefix}{topic}-rewind-{now:%Y%m%d%H%M%S%f}"
    try:
        pubsub = client()
        moment = min(since, _oldest(pubsub, name, snapshot, now, timeout_s) - MARGIN)
        pubsub.seek(request={"subscription": name, "time": moment}, timeout=timeout_s)
    except (exceptions.GoogleAPIError, ValueError) as problem:
        raise Unavailable(f"seek of {name}: {type(problem).__name__}: {problem}") from problem
    return moment


def _oldest(pubsub: SubscriberClient, name: str, snapshot: str, now: datetime, timeout_s: float) -> datetime:
    """Return when the oldest message was published that a subscription has not delivered; about now if there is none. Only
    the life of a snapshot tells: seven days less the age of that message, and none at all where less than an hour is left.
    """
    from google.api_core import exceptions

    try:
        made = pubsub.create_snapshot(request={"name": snapshot, "subscription": name}, timeout=timeout_s)
    except exceptions.FailedPrecondition:
        return now - SNAPSHOT_LASTS
    try:
        pubsub.delete_snapshot(request={"snapshot": snapshot}, timeout=timeout_s)
    except exceptions.GoogleAPIError:  # it goes by itself
        log.warning("a snapshot is left over", extra={"snapshot": snapshot}, exc_info=True)
    return datetime.fromtimestamp(made.expire_time.timestamp(), UTC) - SNAPSHOT_LASTS
