"""What of an account is stopped, and what is to be cancelled there: all working orders where it is halted, and where
only what reduces risk is let through those that may add some.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from stopline.model.control import PERSON, Control, Standing, TradingState
from stopline.model.ids import Id
from stopline.model.messages import CommandAction
from stopline.model.scopes import Scope, scope_of
from stopline.model.times import LONG_AGO
from stopline.rules.closing.still_working import Listed, Lists

HEARD = timedelta(
    minutes=1
)  # by then each adapter that listens has heard a cancel: the next epoch fences it off
LATELY = timedelta(
    minutes=10
)  # so long a kill that is said again is to be heard, whatever moves the epoch meanwhile


class Stop(NamedTuple):
    """A stopped scope: what cancels there, since when, and whether what is open is closed. `inside`: the account is halted
    too, and its stop speaks for the orders of this part. `cancelled`: when the last of its halts to be cancelled was, where
    all of them were, under an epoch before.
    """

    scope: Scope
    action: CommandAction
    since: datetime
    closes: bool
    inside: bool
    cancelled: datetime | None

    @property
    def is_halted(self) -> bool:
        return self.action is CommandAction.CANCEL_ALL

    @property
    def unasked(self) -> CommandAction:
        """What goes again without being asked for: of a halt that closes nothing people place stops by hand."""
        return self.action if self.closes else CommandAction.CANCEL_ADDING

    def first(self, now: datetime) -> CommandAction:
        """What goes under a new epoch, which may be that of something else."""
        is_heard = self.cancelled is not None and now - self.cancelled > HEARD
        return self.unasked if is_heard else self.action

    def takes_off(self, action: CommandAction) -> bool:
        """Tell whether a first cancel takes off what people have placed by hand since an earlier one of the same halt."""
        return action is CommandAction.CANCEL_ALL and not self.closes and self.cancelled is not None

    def named(self, lists: Lists) -> list[Listed]:
        """Return the orders of newer lists that the stop cancels when it goes again."""
        orders = lists.working(str(self.scope), self.since)
        return orders if self.closes else [one for one in orders if one.adds]

    def working(self, lists: Lists) -> list[Listed]:
        """Return the orders that the newest lists name although the halt has cancelled them."""
        return self.named(lists) if self.is_halted and not self.inside else []


class Asked(NamedTuple):
    """A kill of a scope that was halted already."""

    scope: Scope
    request: Id
    at: datetime

    @property
    def name(self) -> str:
        return f"{self.scope} {self.request}"

    def covers(self, stop: Stop) -> bool:
        """Tell whether it asks for the cancel of a stop: of a part by itself, else of the account."""
        return stop.scope == self.scope if self.scope.is_part else not stop.scope.is_part


class Stops(NamedTuple):
    """What of an account is stopped, the account itself first, under which epoch, since when that is so, and what people
    have halted again.
    """

    of: Sequence[Stop]
    epoch: int
    since: datetime
    asked: Sequence[Asked]

    @property
    def is_halted(self) -> bool:
        return any(stop.is_halted for stop in self.of)

    def first(self, now: datetime, is_out: Callable[[Scope], bool]) -> list[tuple[Stop, CommandAction]]:
        """Return what goes under a new epoch. `is_out`: the whole cancel of a scope before it is known to be published."""
        first = [
            (stop, stop.first(now) if is_out(stop.scope) and not self._is_asked(stop, now) else stop.action)
            for stop in self.of
        ]
        if not first or first[0][0].scope.is_part or not first[0][0].is_halted:
            return first
        everything = CommandAction.CANCEL_ALL
        parts = [one for one in first[1:] if one[1] is everything] if first[0][1] is not everything else []
        return [first[0], *parts]

    def _is_asked(self, stop: Stop, now: datetime) -> bool:
        return any(one.covers(stop) and now - one.at <= LATELY for one in self.asked)


def all_stops(account: str, everywhere: Control, own: Control) -> Stops:
    """Return what is stopped by the controls of the whole and of an account."""
    standings = (everywhere, own, *own.parts.values())
    stops = [
        _stop(scope, action, [own.parts[str(scope)]] if scope.is_part else [everywhere, own], own)
        for scope, action in stops_of(account, everywhere, own)
    ]
    if stops and stops[0].is_halted and not stops[0].scope.is_part:
        parts = [_stop(scope_of(p.scope), CommandAction.CANCEL_ALL, [p], own) for p in halts_in(own)]
        stops += [part._replace(inside=stops[0].closes or not part.closes) for part in parts]
    return Stops(
        stops,
        everywhere.epoch + own.epoch,
        max((one.since for one in standings if one.since), default=LONG_AGO),
        [
            Asked(scope_of(one.scope), one.said_again, one.holds[PERSON].since)
            for one in standings
            if one.said_again
        ],
    )


def halts_in(own: Control) -> list[Standing]:
    """Return the parts of an account that are halted."""
    return [part for part in own.parts.values() if part.state is TradingState.HALTED]


def halts_now(everywhere: Control, own: Control) -> dict[str, datetime]:
    """Return what is halted and since when: by that a halt is known from a later one of its scope."""
    halted = [one for one in (everywhere, own) if one.state is TradingState.HALTED]
    return {one.scope: one.since for one in (*halted, *halts_in(own)) if one.since}


def _stop(scope: Scope, action: CommandAction, standings: Iterable[Standing], own: Control) -> Stop:
    halted = [one for one in standings if one.state is TradingState.HALTED]
    began = [one.since or LONG_AGO for one in halted]
    is_known = all(
        one.since and own.cancelled_halts.get(one.scope) == one.since and one.scope in own.cancelled_at
        for one in halted
    )
    return Stop(
        scope=scope,
        action=action,
        since=min(began, default=LONG_AGO),
        closes=any(one.flatten for one in halted),
        inside=False,
        cancelled=max((own.cancelled_at[one.scope] for one in halted), default=None) if is_known else None,
    )


def stops_of(account: str, everywhere: Control, own: Control) -> Iterator[tuple[Scope, CommandAction]]:
    """Yield what is to be cancelled where."""
    if TradingState.HALTED in (everywhere.state, own.state):
        yield Scope("account", account), CommandAction.CANCEL_ALL
        return
    is_reducing = TradingState.REDUCING in (everywhere.state, own.state)
    if is_reducing:
        yield Scope("account", account), CommandAction.CANCEL_ADDING
    for part in own.parts.values():
        if part.state is TradingState.HALTED:
            yield scope_of(part.scope), CommandAction.CANCEL_ALL
        elif part.state is TradingState.REDUCING and not is_reducing:
            yield scope_of(part.scope), CommandAction.CANCEL_ADDING
