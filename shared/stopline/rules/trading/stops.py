"""What of an account is stopped, and what is to be cancelled there: all working orders where it is halted, and where
only what reduces risk is let through those that may add some.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from stopline.model.control import PERSON, Control, Standing, TradingState
from stopline.model.ids import Id
from stopline.model.messages import CommandAction
from stopline.model.scopes import Scope, scope_of
from stopline.rules.closing.still_working import Listed, Lists

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Stop(NamedTuple):
    """A stopped scope: what cancels there, since when, and whether what is open is closed."""

    scope: Scope
    action: CommandAction
    since: datetime
    closes: bool

    @property
    def is_halted(self) -> bool:
        return self.action is CommandAction.CANCEL_ALL

    @property
    def unasked(self) -> CommandAction:
        """What goes again without being asked for."""
        return self.action if self.closes else CommandAction.CANCEL_ADDING

    def working(self, lists: Lists) -> list[Listed]:
        """Return the orders that the newest lists name although the halt has cancelled them."""
        orders = lists.working(str(self.scope), self.since) if self.is_halted else []
        return orders if self.closes else [one for one in orders if one.adds]


class Stops(NamedTuple):
    """What of an account is stopped, under which epoch, since when that is so, and what people have halted again, when."""

    of: Sequence[Stop]
    epoch: int
    since: datetime
    asked: Mapping[Id, datetime]

    @property
    def is_halted(self) -> bool:
        return any(stop.is_halted for stop in self.of)


def all_stops(account: str, everywhere: Control, own: Control) -> Stops:
    standings = (everywhere, own, *own.parts.values())
    stops = [
        _stop(scope, action, [own.parts[str(scope)]] if scope.is_part else [everywhere, own])
        for scope, action in stops_of(account, everywhere, own)
    ]
    if (
        stops and not stops[0].scope.is_part and not stops[0].closes
    ):  # a part of it may be closed all the same
        parts = [_stop(scope_of(p.scope), CommandAction.CANCEL_ALL, [p]) for p in own.parts.values()]
        stops += [part for part in parts if part.closes and stops[0].is_halted]
    return Stops(
        stops,
        everywhere.epoch + own.epoch,
        max((one.since for one in standings if one.since), default=LONG_AGO),
        {one.said_again: one.holds[PERSON].since for one in standings if one.said_again},
    )


def _stop(scope: Scope, action: CommandAction, standings: Iterable[Standing]) -> Stop:
    halted = [one for one in standings if one.state is TradingState.HALTED]
    since = min((one.since for one in halted if one.since), default=LONG_AGO)
    return Stop(scope, action, since, any(one.flatten for one in halted))


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
