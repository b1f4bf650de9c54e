"""The heartbeat of the sweep: when it last got to its end, and which accounts it could not watch, since when."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from stopline.model.control import ONE
from stopline.model.times import utc_text
from stopline.ports import Document, Path
from stopline.service.documents.aggregate import DAMAGED

HEARTBEAT = Path("heartbeats", "sweep")
SILENT_AFTER = timedelta(minutes=3)  # three rounds of the sweep
DEGRADED = Decimal("0.5")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger("stopline")


def last_beat(beat: Document | None) -> datetime | None:
    """Return when the last round came to its end; None where none ever did, or nobody can read it."""
    at = beat.data.get("at") if beat else None
    return at if isinstance(at, datetime) else None


def unwatched_since(beat: Document | None) -> dict[str, datetime] | None:
    """Return the accounts that the last round could not watch, and when each was last watched; None: nobody can read it."""
    try:
        stored = orjson.loads(beat.data.get("unwatched") or "{}") if beat else {}
        return {name: datetime.fromisoformat(text).astimezone(UTC) for name, text in stored.items()}
    except DAMAGED:
        log.exception("heartbeat: whom the last round could not watch cannot be read")
        return None


def unwatched_after(beat: Document | None, failed: Iterable[str]) -> dict[str, datetime]:
    """Return the same after a round in which some accounts failed: a new one was watched in the round before, if there was
    one. What cannot be read counts as nobody, and is written anew.
    """
    known, last = unwatched_since(beat) or {}, last_beat(beat) or NEVER
    return {name: known.get(name, last) for name in sorted(failed)}


def share_of(beat: Document | None, account: str) -> Decimal:
    """Return the share of the usual size that may be opened: half of it while the last round could not look after the
    account, be it that its outbox cannot be published or that it cannot be read. Later it is nothing: `why_unwatched`.
    """
    unwatched = unwatched_since(beat)
    return DEGRADED if unwatched is None or account in unwatched else ONE


def unwatched_text(unwatched: Mapping[str, datetime]) -> str:
    """Write them as the heartbeat's field."""
    return orjson.dumps({name: utc_text(since) for name, since in unwatched.items()}).decode()


def why_unwatched(beat: Document | None, account: str, now: datetime) -> str | None:
    """Say why nobody watches an account's limits, or None. One account's trouble is not another's."""
    since, unwatched = last_beat(beat), unwatched_since(beat)
    if since is None:
        return "no sweep has ever come to its end"
    if now - since > SILENT_AFTER:
        return f"no sweep has come to its end for {_seconds(now - since)} s"
    if unwatched is None:
        return "whom the last sweep could not watch cannot be read"
    since = unwatched.get(account, now)
    if now - since > SILENT_AFTER:
        return f"the sweep could not watch this account for {_seconds(now - since)} s"
    return None


def watched_until(beat: Document, account: str) -> datetime:
    """Return when an account counts as unwatched, if no sweep comes to its end before."""
    last = last_beat(beat) or NEVER
    return min(last, (unwatched_since(beat) or {}).get(account, last)) + SILENT_AFTER


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
