"""The heartbeat of the sweep: when it last got to its end, and which accounts it could not watch, since when."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from stopline.model.control import ONE
from stopline.model.times import utc_text
from stopline.ports import Document, Path

HEARTBEAT = Path("heartbeats", "sweep")
SILENT_AFTER = timedelta(minutes=3)  # three rounds of the sweep
DEGRADED = Decimal("0.5")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def unwatched_since(beat: Document | None) -> dict[str, datetime]:
    """Return the accounts that the last round could not watch, and when each was last watched."""
    stored = orjson.loads(beat.data.get("unwatched") or "{}") if beat else {}
    return {name: datetime.fromisoformat(text).astimezone(UTC) for name, text in stored.items()}


def unwatched_after(beat: Document | None, failed: Iterable[str]) -> dict[str, datetime]:
    """Return the same after a round in which some accounts failed: a new one was watched in the round before, if there was
    one.
    """
    known = unwatched_since(beat)
    last: datetime = beat.data["at"] if beat else NEVER
    return {name: known.get(name, last) for name in sorted(failed)}


def share_of(beat: Document | None, account: str) -> Decimal:
    """Return the share of the usual size that may be opened: half of it while the last round could not look after the
    account, be it that its outbox cannot be published or that it cannot be read. Later it is nothing: `why_unwatched`.
    """
    return DEGRADED if account in unwatched_since(beat) else ONE


def unwatched_text(unwatched: Mapping[str, datetime]) -> str:
    """Write them as the heartbeat's field."""
    return orjson.dumps({name: utc_text(since) for name, since in unwatched.items()}).decode()


def why_unwatched(beat: Document | None, account: str, now: datetime) -> str | None:
    """Say why nobody watches an account's limits, or None. One account's trouble is not another's."""
    if beat is None:
        return "no sweep has ever come to its end"
    since: datetime = beat.data["at"]
    if now - since > SILENT_AFTER:
        return f"no sweep has come to its end for {_seconds(now - since)} s"
    since = unwatched_since(beat).get(account, now)
    if now - since > SILENT_AFTER:
        return f"the sweep could not watch this account for {_seconds(now - since)} s"
    return None


def watched_until(beat: Document, account: str) -> datetime:
    """Return when an account counts as unwatched, if no sweep comes to its end before."""
    last: datetime = beat.data["at"]
    return min(last, unwatched_since(beat).get(account, last)) + SILENT_AFTER


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
