"""When trading may go on: a kill needs one word, a resume needs all of this.

Who resumes has seen the epoch that holds, names what came under it later, types `RESUME <scope>`, waits until trading has
been stopped for a minute, and has prices and positions that can be trusted. The whole, and what a drawdown stopped, takes
two people within ten minutes of each other. A lock is lifted by nobody before its time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from stopline.model.control import ControlRequest, Standing, TradingState, is_due
from stopline.model.errors import Rejected
from stopline.model.scopes import GLOBAL
from stopline.model.times import utc_text

MINIMUM_HOLD = timedelta(seconds=60)
SECOND_WITHIN = timedelta(minutes=10)


class TooEarly(Rejected):
    """A resume that may succeed later, but not by being repeated now. `after_s`: seconds to wait."""

    def __init__(self, reason: str, detail: str, after_s: int) -> None:
        super().__init__(reason, detail)
        self.after_s = after_s


def refusal(standing: Standing, request: ControlRequest, now: datetime) -> Rejected | None:
    """Say why a resume is refused, or None."""
    scope = standing.scope
    if request.confirm != f"RESUME {scope}":
        return Rejected("NOT_CONFIRMED", f'a resume must say "confirm": "RESUME {scope}"')
    if request.expected_epoch is None:
        return Rejected(
            "STALE_RESUME", 'a resume names the epoch that you have seen: read /status, then "expected_epoch"'
        )
    if request.expected_epoch != standing.epoch:
        return Rejected(
            "STALE_RESUME",
            f"{scope} is at epoch {standing.epoch}, the resume was made for {request.expected_epoch}: "
            "something has changed since, read /status",
        )
    stops = [h for h in standing.holds.values() if h.state is not TradingState.ACTIVE]
    unseen = [h for h in stops if h.quiet and h.request_id not in request.lifts]
    if unseen:
        also = "; ".join(
            f"{h.actor} since {utc_text(h.since)}: {h.reason[:80]} ({h.request_id})" for h in unseen[:3]
        )
        return Rejected(
            "STALE_RESUME",
            f"after epoch {standing.epoch} had begun {scope} was also stopped by {also}: read /status, and name in "
            '"lifts" the request_id of each hold that you lift',
        )
    locks = [h.locked_until for h in standing.holds.values() if h.locked_until and now < h.locked_until]
    if locks:
        left = max(locks) - now
        return TooEarly(
            "LOCKED",
            f"{scope} is locked until {utc_text(max(locks))}: nobody can lift that",
            int(left.total_seconds()) + 1,
        )
    since = max((h.since for h in standing.holds.values()), default=None)
    if since is not None and now - since < MINIMUM_HOLD:
        left = MINIMUM_HOLD - (now - since)
        return TooEarly(
            "TOO_EARLY",
            f"{scope} was stopped at {utc_text(since)}, and stays so for {MINIMUM_HOLD.seconds} s: ask again in "
            f"{int(left.total_seconds()) + 1} s",
            int(left.total_seconds()) + 1,
        )
    asked, asks = standing.pending, (request.actor, request.person)
    if asked is not None and _is_alive(standing, now) and are_one((asked.actor, asked.person), asks):
        who = request.person or request.actor
        return Rejected("SAME_PERSON", f"{who} asked already: another person must agree")
    return None


def doubtful(request: ControlRequest, doubts: Sequence[str]) -> Rejected | None:
    """Say why a resume is refused for what speaks against it now, one line each; None where nothing does."""
    if not doubts:
        return None
    more = f" and {len(doubts) - 3} more" if len(doubts) > 3 else ""
    return Rejected("NOT_READY", f"{request.scope} cannot resume: {'; '.join(doubts[:3])}{more}")


def is_second(standing: Standing, now: datetime) -> bool:
    """Tell whether another person has asked for the same resume, not too long ago. `refusal` keeps the same one out."""
    return standing.pending is not None and _is_alive(standing, now)


def people_needed(standing: Standing, now: datetime, most: int) -> int:
    """Return how many people must agree; `most` is 1 where a desk has only one person."""
    if standing.scope == GLOBAL:
        return most
    held = (h.people for h in standing.holds.values() if not is_due(h.until, now))
    return min(most, max(held, default=1))


def are_one(first: Iterable[str | None], second: Iterable[str | None]) -> bool:
    """Tell whether two callers may be one person: anything that the one is called by (its name; who it is, where that is
    known) the other is called by too.
    """
    mine, others = ({name.casefold() for name in names if name} for names in (first, second))
    return not mine.isdisjoint(others)


def _is_alive(standing: Standing, now: datetime) -> bool:
    pending = standing.pending
    return pending is not None and pending.epoch == standing.epoch and now - pending.at <= SECOND_WITHIN
