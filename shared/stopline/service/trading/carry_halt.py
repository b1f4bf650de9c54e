"""Start the cancels and closings of a stop where it was said. What is not started in time the sweep starts, at once."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from stopline.model.control import Standing, TradingState
from stopline.model.errors import Transient
from stopline.model.messages import Sweep, SweepKind
from stopline.model.scopes import scope_account, scope_of
from stopline.ports import Bus, Clock, Each, in_turn
from stopline.rules.trading.cancel_commands import wholly_cancelled
from stopline.rules.trading.closing_told import told_now
from stopline.service.accounts.reader import AccountReader
from stopline.service.closing.unclosed import HaltCloser
from stopline.service.documents.outbox import typed
from stopline.service.trading.cancel_orders import OrderCanceller

log = logging.getLogger("stopline")
BUDGET = timedelta(seconds=6)  # a kill is answered while the caller still listens
CANCELLING = "CANCELLING"  # the cancels are out: that orders are cancelled only a broker's list can tell

Stop = tuple[str, int]
"""A scope, and its epoch."""
Told = dict[str, str | None]
Step = Callable[[str, Standing], str | None]
"""What is done in an account for a stop; how far it is then, None: not known."""


class HaltCarrier:
    """Carries stored stops through, account by account. A stop that is repeated goes on where it ended."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        accounts: AccountReader,
        canceller: OrderCanceller,
        closer: HaltCloser,
        each: Each = in_turn,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._accounts = accounts
        self._canceller = canceller
        self._closer = closer
        self._for_each = each
        self._begun: dict[str, Stop] = {}  # for which stop an account's closing was begun here
        self._handed: dict[str, Stop] = {}  # and for which one the sweep was told of it

    def advance(self, standing: Standing) -> dict[str, str | None]:
        """Return how far each account that a stop concerns is, or its part; None: the sweep goes on with it. Raises
        Transient where the accounts cannot be read: nothing was started. Where it is over, closings that it ends are ended.
        """
        account = scope_account(standing.scope)
        if standing.state is TradingState.ACTIVE:
            if account:
                self._end(account)
            return {}
        names = [account] if account else self._accounts.names()
        ends = self._clock.now() + BUDGET
        told: dict[str, str | None] = {}
        self._hand_over(self._start(names, standing, ends, told), standing)
        if not account:
            self._hand_over(self._start(self._left(names), standing, ends, told), standing)
        return told

    def _start(self, names: Sequence[str], standing: Standing, ends: datetime, told: Told) -> list[str]:
        """Cancel in every account, then close: no account's orders work on while another one's book is closed. Who is done
        already is passed over, or comes last. Return for whom there was no time.
        """
        owing = self._canceller.owing(names)
        told |= dict.fromkeys(names, standing.state.value)
        whole: dict[str, dict[str, int]] = {}
        late = self._each(owing, partial(self._cancel, whole), standing, ends, told)
        if not standing.flatten:
            # they may have taken our own closes along, of another halt or of an exit; where it fails the sweep goes on
            self._each(list(whole), partial(self._close_again, whole), standing, ends, dict(told))
        if standing.said_again and not standing.flatten:
            known = [name for name in names if name not in owing]
            self._each(known, self._cancel_again, standing, ends, told)  # where it fails the sweep goes on
        if standing.flatten:
            begun = {name for name in names if self._begun.get(name) == _stop(standing)}
            close = partial(self._close, whole)
            first = [name for name in names if told[name] and name not in begun]
            late += self._each(first, close, standing, ends, told)
            again = [name for name in names if told[name] and name in begun]
            self._each(again, close, standing, ends, told)  # the sweep goes on with them as it is
        return late

    def _each(
        self, names: Sequence[str], step: Step, standing: Standing, ends: datetime, told: Told
    ) -> list[str]:
        """Take a step in each account and note how far that one is; return for whom there was no time. Whatever is wrong
        with one account must not keep the others trading.
        """
        late = set()

        def take(name: str) -> None:
            told[name] = None
            if self._clock.now() > ends:
                late.add(name)
                return
            try:
                told[name] = step(name, standing)
            except Exception:
                log.exception("kill switch: closing is pending", extra={"account": name})

        self._for_each(take, names)
        return [name for name in names if name in late]

    def _cancel(self, whole: dict[str, dict[str, int]], account: str, standing: Standing) -> str:
        sent = self._canceller.advance(account, just_read=True)
        if scopes := wholly_cancelled(sent):
            whole[account] = scopes
        return CANCELLING if sent else standing.state.value

    def _close_again(self, whole: Mapping[str, Mapping[str, int]], account: str, standing: Standing) -> str:
        self._closer.advance(account, cancelled=whole[account])
        return CANCELLING

    def _cancel_again(self, account: str, standing: Standing) -> str:
        self._closer.advance(account)
        return CANCELLING

    def _close(self, whole: Mapping[str, Mapping[str, int]], account: str, standing: Standing) -> str | None:
        closing = self._closer.advance(account, cancelled=whole.get(account, {}))
        self._begun[account] = _stop(standing)
        return told_now(scope_of(standing.scope), closing) if closing else None

    def _left(self, known: Collection[str]) -> list[str]:
        """Return who was deleted and holds something: last, so that no kill waits for it or fails with it. What is not found
        now the sweep finds.
        """
        try:
            return [name for name in self._accounts.with_positions() if name not in known]
        except Transient:
            log.exception("kill switch: deleted accounts are left to the sweep")
            return []

    def _end(self, account: str) -> None:
        """End what a resume ends; where that cannot be done now, whoever looks next does it before anything is sent."""
        try:
            self._closer.advance(account, resumed=True)
        except Transient:
            log.exception("resume: the end of closings is pending", extra={"account": account})

    def _hand_over(self, accounts: Sequence[str], standing: Standing) -> None:
        """Have the sweep start what there was no time for, once a stop; where that cannot be said, its next round does."""
        new = [name for name in accounts if self._handed.get(name) != _stop(standing)]
        messages = [typed("sweeps", Sweep(kind=SweepKind.ACCOUNT, account=name)) for name in new]
        try:
            if messages:
                self._bus.publish(messages)
                self._handed |= dict.fromkeys(new, _stop(standing))
        except Transient:
            log.exception("kill switch: the sweep was not told", extra={"accounts": len(accounts)})


def _stop(standing: Standing) -> Stop:
    return standing.scope, standing.epoch
