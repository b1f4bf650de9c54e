"""The order of a close command: its legs, how many units, at which limit. One position, or the legs of a spread. And what
takes it back: people who resume a strategy want it closed no more by what had stopped it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from math import gcd

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.closing_state import Asked, RequestStatus, Sent, SentLeg
from stopline.model.control import CloseOrder
from stopline.model.decimals import EXACT, ZERO
from stopline.model.ids import digest
from stopline.model.increments import Increments, increments_of
from stopline.model.messages import Command, CommandAction, CommandLeg
from stopline.model.prices import Quote
from stopline.model.settings.closing import ClosingSettings, OwnClosing
from stopline.risk.border import to_decimal
from stopline.rules.closing.collar import limit_price
from stopline.rules.closing.sent import alive, backoff
from stopline.rules.closing.targets import Wanted, named, units_of_positions, wanted


@dataclass(frozen=True, slots=True)
class Stated:
    """What the brokers' statements say. `agreed_at`: the moment up to which all of them are complete and agree with the
    book, None where they do not; `by`: which. `denied`: what they show although the book is flat; empty where nothing.
    `working`: the halted scopes in which orders of others worked after the halt, by their newest lists, and which.
    `is_unread`: what they say cannot be read now.
    """

    agreed_at: datetime | None = None
    by: str = ""
    denied: str = ""
    working: Mapping[str, str] = field(default_factory=dict)
    is_unread: bool = False


NOTHING = Stated()


@dataclass(frozen=True, slots=True)
class Resting:
    """Units that orders of others at the brokers would take off a position, as told at a moment."""

    units: Decimal
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Situation:
    """What a closing is worked out from. `quotes` are those young enough to trade by, of the moments
    `quoted_at`; `trading` tells whether the account's market is open, `halted` whether the trading state says that a
    position must go; `halts`: the scopes that are halted with flatten, by the epoch of their halt: the account alone where
    all of it is. `increments`: the ticks that the account knows. `resting`: the known orders that work against a position;
    None where nothing is known of any. `refused`: who has refused a cancel of a scope, in words. `own`: what exits
    say of how a strategy or a trade of it is closed, over `settings`. `resumed`: when people last resumed a strategy, with
    None the account; None: never. `again`: the scopes of which all was cancelled again a moment ago. `since`: when the
    newest halt with flatten of each of `halts` began.
    """

    book: Book
    settings: ClosingSettings
    now: datetime
    epoch: int
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    trading: bool = True
    halted: Callable[[Position], bool] = lambda _: False
    halts: Mapping[str, int] = field(default_factory=dict)
    stated: Stated = NOTHING
    increments: Mapping[str, Increments] = field(default_factory=dict)
    quoted_at: Mapping[str, datetime] = field(default_factory=dict)
    resting: Callable[[Position], Resting | None] = lambda _: None
    refused: Callable[[str], str] = lambda _: ""
    own: Callable[[str, str | None], OwnClosing] = lambda _strategy, _trade_id: OwnClosing()
    resumed: Callable[[str | None], datetime | None] = lambda _: None
    again: Collection[str] = ()
    since: Mapping[str, datetime] = field(default_factory=dict)

    def settings_of(self, one: Wanted) -> ClosingSettings:
        """How something that has to go is closed."""
        return self.settings.with_own(self.own(one.position.strategy, one.trade_id))


def command_of(s: Situation, account: str, id_: str, action: CommandAction, reason: str) -> Command:
    """Return a command of now, without an order."""
    return Command(
        command_id=id_,
        account=account,
        action=action,
        epoch=s.epoch,
        reason=reason,
        issued_at=s.now,
        expires_at=s.now + timedelta(seconds=s.settings.valid_s),
    )


def close_order(
    s: Situation, plain: Command, group: Sequence[Wanted], retry: int, at_market: bool
) -> tuple[Command, Sent]:
    """Return a plain close command with the order for what is wanted, and what is remembered of it. `retry`: how many
    commands have failed; without a usable price it goes to the market.
    """
    legs = tuple(_leg(one, s) for one in group)
    units = Decimal(reduce(gcd, (int(leg.quantity) for leg in legs))) if len(legs) > 1 else legs[0].quantity
    settings = s.settings_of(group[0])
    limit = None if at_market else _limit(s, legs, units, retry, settings)
    names = {one.group_id for one in group}
    name = next(iter(names)) if len(names) == 1 else None
    order = {
        "strategy": group[0].position.strategy,
        "quantity": units,
        "order_type": "MARKET" if limit is None else "LIMIT",
        "limit_price": limit,
        "group_id": name,
        "expires_at": s.now + timedelta(seconds=settings.valid_s),
    }
    if len(legs) == 1:
        order |= {"instrument": legs[0].instrument, "side": legs[0].side}
    else:
        order["legs"] = tuple(
            CommandLeg(
                instrument=leg.instrument,
                side=leg.side,
                ratio=EXACT.divide(leg.quantity, units),
                group_id=None if name else leg.group_id,
            )
            for leg in legs
        )
    command = plain.model_copy(update=order)
    sent = Sent(
        command_id=command.command_id,
        requests=tuple(dict.fromkeys(id_ for one in group for id_ in one.requests)),
        halted=any(one.halted for one in group),
        strategy=group[0].position.strategy,
        epoch=s.epoch,
        round=retry + 1,
        units=units,
        legs=legs,
        order_type=command.order_type,
        limit_price=limit,
        group_id=command.group_id,
        reason=command.reason,
        trading=s.trading,
        issued_at=command.issued_at,
        expires_at=command.expires_at,
        next_at=command.issued_at + backoff(retry + 1, settings),
    )
    return command, sent


def order_out(sent: Sent, key: str) -> CloseOrder:
    """Return what a command that is out does to a position."""
    quantity = next(leg.quantity for leg in sent.legs if leg.key == key)
    return CloseOrder(
        command_id=sent.command_id, round=sent.round, quantity=quantity, expires_at=sent.expires_at
    )


def _leg(one: Wanted, s: Situation) -> SentLeg:
    symbol = one.position.instrument.symbol
    quote = s.quotes.get(symbol)
    return SentLeg(
        key=one.position.key,
        instrument=one.position.instrument,
        side="SELL" if one.position.quantity > 0 else "BUY",
        quantity=one.units,
        bid=to_decimal(quote.bid) if quote else None,
        ask=to_decimal(quote.ask) if quote else None,
        mark=to_decimal(quote.mark) if quote else None,
        iv=to_decimal(quote.iv, 6) if quote else None,
        quoted_at=s.quoted_at.get(symbol) if quote else None,
        trade_id=one.trade_id,
        group_id=one.group_id,
    )


def _limit(
    s: Situation, legs: Sequence[SentLeg], units: Decimal, retry: int, settings: ClosingSettings
) -> Decimal | None:
    """Return the limit price: of one leg, or what a unit of all may cost. None, the market, without a price."""
    prices = []
    for leg in legs:
        quote = s.quotes.get(leg.instrument.symbol)
        tick = increments_of(s.increments, leg.instrument).tick
        price = limit_price(leg.instrument, leg.side == "BUY", quote, retry, settings, tick)
        if price is None:
            return None
        prices.append(price)
    if len(legs) == 1:
        return prices[0]
    ratios = [EXACT.divide(leg.quantity, units) for leg in legs]
    signs = [1 if leg.side == "BUY" else -1 for leg in legs]
    return sum((sign * ratio * price for sign, ratio, price in zip(signs, ratios, prices, strict=True)), ZERO)


# --- what a resume ends -----------------------------------------------------------------------------------


def end_resumed(
    account: str, asked: Mapping[str, Asked], sent: Collection[Sent], s: Situation
) -> tuple[Mapping[str, Asked], Sequence[Command]]:
    """End the requests that hold until a resume and were made before one, where something of them is still open; return
    them, and cancels of what is out for them, or for a halt that is over, where that is more than what all others want of
    the position.

    Commands that are out keep counting until their end is known. The same cancel has the same id.
    """
    closing = {id_: one for id_, one in asked.items() if one.status is RequestStatus.CLOSING}
    update = {"status": RequestStatus.RESUMED, "ended_at": s.now, "waits": ""}
    ended = {
        id_: one.model_copy(update=update)
        for id_, one in closing.items()
        if _is_resumed(one, s) and named(one.request, s.book)
    }
    out = [one for one in sent if ended.keys() & set(one.requests) or _is_of_past_halt(one, s)]
    if not out:
        return ended, []
    rest = [one for id_, one in closing.items() if id_ not in ended]
    left = units_of_positions(wanted(s.book, rest, sent, s.halted).values())
    of_positions, _ = alive(sent)
    too_much = {key for key, units in of_positions.items() if units > left.get(key, ZERO)}
    return ended, [_cancel(account, one, leg, s) for one, leg in _working(out) if leg.key in too_much]


def _is_resumed(one: Asked, s: Situation) -> bool:
    request = one.request
    if not request.until_resume or request.scope == "trade":
        return False
    at = s.resumed(request.strategy)
    return at is not None and request.requested_at <= at


def _is_of_past_halt(one: Sent, s: Situation) -> bool:
    if one.ended_at is not None or not (one.halted or not one.requests):
        return False
    held = [s.book.positions[leg.key] for leg in one.legs if leg.key in s.book.positions]
    return not any(s.halted(position) for position in held)


def _working(sent: Sequence[Sent]) -> Iterator[tuple[Sent, SentLeg]]:
    """Yield what may still be executed of commands, once a position."""
    seen = set[str]()
    for one in sent:
        if one.ended_at is not None or one.is_final or one.is_filled:
            continue
        for leg in one.legs:
            if leg.key not in seen:
                seen.add(leg.key)
                yield one, leg


def _cancel(account: str, sent: Sent, leg: SentLeg, s: Situation) -> Command:
    id_ = digest("cancel_resumed", account, sent.command_id, leg.key)
    plain = command_of(s, account, id_, CommandAction.CANCEL_ALL, "people have resumed it")
    return plain.model_copy(update={"strategy": sent.strategy, "instrument": leg.instrument})
