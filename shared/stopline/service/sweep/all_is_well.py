"""Say once a day that Stopline runs, and what it checked: to the operator, and to the people of each account."""

from collections import Counter
from collections.abc import Collection, Sequence

from stopline.model.errors import Transient
from stopline.model.messages import Effect, alert_effect
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.ports import Clock
from stopline.rules.watching.all_is_well import Checked, heartbeat, operator_heartbeat, together
from stopline.rules.watching.found import Found
from stopline.service.documents.aggregate import Aggregates
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.prices.mark_prices import Desk
from stopline.service.sweep.watchdog import Watchdog
from stopline.service.trading.controls import TradingStates


class AllIsWell:
    """Words the heartbeat. `operator` and `duty`: who is told as operator, and hears of no account beside."""

    def __init__(
        self,
        clock: Clock,
        states: Aggregates[RiskState],
        trading: TradingStates,
        watchdog: Watchdog,
        operator: Recipients,
        duty: OperatorAlerts,
    ) -> None:
        self._clock = clock
        self._states = states
        self._trading = trading
        self._watchdog = watchdog
        self._operator = operator
        self._duty = duty

    def effects(self, desk: Desk, unwatched: Collection[str]) -> list[Effect]:
        """Return the day's heartbeats. The operator's is missing while an account could not be watched, as is that one's."""
        now, silent = self._clock.now(), self._watchdog.standing()
        accounts = [account for name, account in sorted(desk.accounts.items()) if name not in unwatched]
        checked = {a.account: self._checked(desk, a.account, silent) for a in accounts}
        feeds = sum(found.account is None for found in silent)
        told = [] if unwatched else [operator_heartbeat(list(checked.values()), now, feeds)]
        for group in together(accounts, self._operator, self._duty, now):
            names = [account.account for account in group]
            told.append(heartbeat(names, [checked[name] for name in names], now))
        return [alert_effect(alert) for alert in told]

    def _checked(self, desk: Desk, name: str, silent: Sequence[Found]) -> Checked:
        state, book = self._states.peek(name), desk.books.get(name)
        try:
            trading, _, _ = self._trading.for_account(name)
        except Transient:
            trading = None
        return Checked(
            positions=book.count_open() if book else 0,
            unpriced=len(state.unpriced) if state else 0,
            levels=Counter(limit["level"] for limit in state.shown.get("limits", ())) if state else {},
            silent=sum(found.account == name for found in silent),
            trading=trading,
        )
