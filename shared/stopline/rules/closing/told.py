"""What people are told of closings: each thing once, and when it is over."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from stopline.ledger.book import Book
from stopline.model.closing_state import Asked, ClosingState, RequestStatus, Sent, Tries
from stopline.model.control import Closing, account_scope
from stopline.model.messages import Alert
from stopline.rules.closing import alerts
from stopline.rules.closing.alerts import ALONE
from stopline.rules.closing.halts import holds
from stopline.rules.closing.targets import Wanted

STUCK = 2  # commands that failed before people are told
KEPT = timedelta(days=1)  # how long it is remembered that people were told


class Told:
    """What people were told of an account's closings, by key (`noted`), and the `alerts` that are to go out now.

    `stuck`: they were told that something stays open although it was told to close, and not that this is over.
    """

    def __init__(self, state: ClosingState, now: datetime) -> None:
        self._account = state.account
        self._now = now
        self.noted = {key: at for key, at in state.told.items() if now - at < KEPT}
        self.stuck = state.stuck
        self.alerts: list[Alert] = []

    def note(self, *keys: str) -> None:
        """Remember that something was done or told now."""
        self.noted |= dict.fromkeys(keys, self._now)

    def forget(self, *keys: str) -> None:
        """Take back that something was told: it is told again."""
        self.noted = {key: at for key, at in self.noted.items() if key not in keys}

    def once(self, found: Iterable[tuple[str, Alert]]) -> None:
        """Tell what was not told before, by its key."""
        for key, alert in found:
            if key not in self.noted:
                self.alerts.append(alert)
                self.note(key)

    def waiting(
        self,
        asked: Iterable[Asked],
        found: Mapping[str, Wanted],
        waits: Mapping[str, str],
        halt: Closing | None,
        scopes: Iterable[str],
    ) -> None:
        """Tell, once a reason, which requests and which halted scopes wait. `waits`: why nothing of a part can be sent."""
        for one in asked:
            if one.status is RequestStatus.CLOSING and one.waits:
                first = one.waits.partition("; ")[0]
                self.once([(f"waits:{one.request.request_id}:{first}", alerts.waiting(one, self._now))])
        idle = [one for key, one in found.items() if key in waits and not one.requests]
        for scope in scopes:
            reasons = sorted({waits[one.part] for one in idle if holds(scope, [one.position])})
            if reasons and halt is not None:
                alert = alerts.halt_waiting(self._account, scope, halt, reasons, self._now)
                self.once([(f"waits:halt:{halt.epoch}:{reasons[0]}:{scope}", alert)])

    def failing(self, new: Sequence[Sent], tries: Mapping[str, Tries], serial: int) -> None:
        """Tell, once a round, what stays open although it was told to close. `new`: the commands of this round."""
        again = [sent for sent in new if sent.round > STUCK]
        if again:
            parts = (leg.part for sent in again for leg in sent.legs)
            errors = {part: tries[part].error for part in parts if part in tries}
            self.stuck = True
            self.alerts.append(alerts.stuck(self._account, again, errors, serial, self._now))

    def unstuck(self, tries: Iterable[Tries], serial: int) -> None:
        """Tell when nothing is stuck any more; an account that is flat says it itself."""
        if not self.stuck or any(one.count >= STUCK for one in tries):
            return
        self.stuck = False
        if not any((a.kind, a.object) == ("flat", account_scope(self._account)) for a in self.alerts):
            self.alerts.append(alerts.unstuck(self._account, serial, self._now))

    def legs(self, sent: Iterable[Sent], book: Book) -> None:
        """Tell which short units are naked for want of a leg that was sold, and when none is any more."""
        self.once(alerts.legs_alone(self._account, sent, book, self._now))
        alone = [key for key in self.noted if key.startswith(ALONE)]
        covered = dict(alerts.legs_covered(self._account, alone, book, self._now))
        self.alerts += {alert.object: alert for alert in covered.values()}.values()
        self.noted = {key: at for key, at in self.noted.items() if key not in covered}
