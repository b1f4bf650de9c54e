"""How long an adapter's lease holds, and what time it is at Stopline, by a clock that may be wrong or set meanwhile."""

from datetime import datetime, timedelta
from typing import NamedTuple

from stopline.model.lease import Lease
from stopline.ports import Clock

MOST = timedelta(seconds=60)  # of a lease, whatever it says
SET_S = 2.0  # a clock that has gone by so much more or less than the ticks was set


class Term(NamedTuple):
    """A lease as it was had: asked for at `asked_at` by the clock here, at `ticks`, which nobody sets, and good for `span`.
    `behind`: by how much that clock was behind Stopline's at least, above 0, or ahead, below 0; what the time of the answer
    explains is not counted.
    """

    asked_at: datetime
    ticks: float
    span: timedelta
    behind: timedelta

    def holds(self, clock: Clock) -> bool:
        """Tell whether the lease holds now. A clock that was set back ends it."""
        gone = clock.ticks() - self.ticks
        return self.asked_at <= clock.now() < self.asked_at + self.span and gone < self.span.total_seconds()

    def now(self, clock: Clock) -> datetime:
        """Return what time it is at Stopline: by the clock here alone where it was set since."""
        now = clock.now()
        gone = (now - self.asked_at).total_seconds() - (clock.ticks() - self.ticks)
        return now + self.behind if abs(gone) < SET_S else now


def term_of(lease: Lease, asked_at: datetime, ticks: float, answered_at: datetime) -> Term:
    """Return the term of a lease that was asked for and answered at these moments."""
    here = min(max(lease.granted_at, asked_at), answered_at)
    span = min(lease.expires_at - lease.granted_at, MOST)
    return Term(asked_at, ticks, span, lease.granted_at - here)
