"""Deliver again what a subscription has acknowledged: Pub/Sub's seek to a moment."""

from datetime import datetime

from stopline.adapters.dead_letters import connect
from stopline.ports import Unavailable


def seek(project: str, prefix: str, topic: str, since: datetime, timeout_s: float = 10.0) -> None:
    """Have all messages of a topic's push subscription delivered again that were published since a moment.

    The subscription must retain acknowledged messages (`retain_acked` in the topology). Raises Unavailable.
    """
    from google.api_core import exceptions

    name = f"projects/{project}/subscriptions/{prefix}{topic}-push"
    try:
        connect().seek(request={"subscription": name, "time": since}, timeout=timeout_s)
    except (exceptions.GoogleAPIError, ValueError) as problem:
        raise Unavailable(f"seek of {name}: {type(problem).__name__}: {problem}") from problem
