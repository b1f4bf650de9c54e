"""When a stop ends: a lock with the session, a limit's or breaker's by the reset matrix."""

from datetime import datetime, timedelta

from stopline.model.account import Account
from stopline.model.calendars import calendar
from stopline.model.control import ControlRequest
from stopline.model.errors import Unreadable
from stopline.model.scopes import Scope
from stopline.rules.trading.breakers import ends_at, rule_of
from stopline.rules.trading.reset import Reset
from stopline.service.accounts.reader import AccountReader

TIMED = {Reset.SESSION, Reset.WEEK, Reset.MONTH, Reset.TIME}  # what ends by itself
USUAL = "XNYS"  # sessions of an account that nothing is known of


class StopEnds:
    """Works out ends by an account's settings. A stop waits for none: where they cannot be read those of before count."""

    def __init__(self, accounts: AccountReader) -> None:
        self._accounts = accounts

    def of_rule(self, request: ControlRequest, scope: Scope, now: datetime) -> ControlRequest:
        """Return the request of a limit or breaker with what ends its stop; a person's as it is. Of an account that nothing
        is known of people end it.
        """
        rule = rule_of(request.actor)
        if rule is None:
            return request
        until, closes = None, request.action == "kill" and request.flatten
        if rule.reset in TIMED and not closes and scope.account:  # what closes everything ends by people
            account = self._known(scope.account)
            if account is not None:
                cool_down = timedelta(seconds=account.trading.cool_down_s)
                until = ends_at(rule, account.sessions, cool_down, now)
        people = max(rule.people, request.hold_people)
        return request.model_copy(update={"until": until, "hold_people": people, "reopen": rule.reopen})

    def lock(self, request: ControlRequest, scope: Scope, now: datetime) -> datetime | None:
        """Return when the lock ends that a request asks for: with the next session, of an account that nothing is known of
        the usual one. A lock that ends at another hour is better than a stop that does not come.
        """
        if not request.lock:
            return None
        account = self._known(scope.account)
        return (account.sessions if account else calendar(USUAL)).next_start(now)

    def _known(self, name: str) -> Account | None:
        try:
            return self._accounts.get(name)
        except Unreadable:
            return self._accounts.last_known(name)
