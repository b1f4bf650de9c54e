"""A past day twice: as it was, and with exits that close what they would have closed.

Both runs get the same prices. In the run with exits a broker executes every close command at the quotes of its moment:
buys at the ask, sells at the bid, at the last price where there is no quote; a limit waits for its price until it
expires. What the past did with units that an exit has closed already is left out: a fill that reduced a position
reduces the same part of what is left of it. A strategy that an exit stopped opens nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.control import TradingState
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.fill import DEFAULT_STRATEGY
from stopline.model.instrument import Instrument
from stopline.model.messages import Command, CommandAction
from stopline.model.scopes import strategy_scope
from stopline.model.settings.exits import ExitSettings
from stopline.model.times import utc_text
from stopline.model.wire import decode_object, validate
from stopline.ports import Outgoing
from stopline.replay.engine import Replay
from stopline.replay.result import AccountResult, ReplayResult
from stopline.replay.rows import FillFile, Price, PriceFile
from stopline.risk.border import to_decimal

Key = tuple[str, str, str]  # account, strategy, symbol
EXIT_KINDS = frozenset({"exit", "strategy_stopped", "exit_stuck"})


def without_exits(account: Account) -> Account:
    """Return an account whose exits are all off."""
    return account.model_copy(update={"exits": ExitSettings()})


def only_telling(account: Account) -> Account:
    """Return an account whose exits close nothing: where nobody executes, a close that is asked for is never done."""
    quiet, exits = {"auto_close": False}, account.exits
    if exits.is_empty:
        return account
    strategies = {
        name: some.model_copy(update={**quiet, "trades": some.trades.model_copy(update=quiet)})
        for name, some in exits.strategies.items()
    }
    single = {id_: some.model_copy(update=quiet) for id_, some in exits.single.items()}
    trades = exits.trades.model_copy(update=quiet)
    told = exits.model_copy(update={"trades": trades, "strategies": strategies, "single": single})
    return account.model_copy(update={"exits": told})


class WhatIf(Replay):
    """A replay whose exits close. `closed`: units that its broker closed, `left_out`: fills of the past that were
    not, or not wholly, there any more.
    """

    closed = ZERO
    left_out = 0

    def run(self, prices: Sequence[PriceFile], fills: FillFile | None) -> ReplayResult:
        self._quotes: dict[str, Price] = {}
        self._working: dict[str, Command] = {}
        self._was: dict[Key, Decimal] = {}
        self._is: dict[Key, Decimal] = {}
        return super().run(prices, fills)

    def _begin(self, moment: datetime) -> None:
        super()._begin(moment)
        self.world.bus.subscribe("orders", self._on_order)

    def _publish(self, moment: datetime, quotes: Sequence[Price], bodies: Sequence[dict[str, Any]]) -> None:
        self._quotes.update({quote[0]: quote for quote in quotes})
        super()._publish(moment, quotes, ())
        for command in list(self._working.values()):
            self._try(command)
        self._deliver()
        for body in bodies:
            adjusted = self._adjusted(body)
            if adjusted is not None:
                super()._publish(moment, (), [adjusted])

    def _on_order(self, message: Outgoing, message_id: str, attempt: int) -> None:
        command = validate(Command, decode_object(message.data))
        if command.action is CommandAction.CANCEL_ALL:
            for id_, other in list(self._working.items()):
                meant = (
                    command.covers(other.strategy or DEFAULT_STRATEGY, leg) for leg, _, _ in _legs(other)
                )
                if other.account == command.account and any(meant):
                    del self._working[id_]
        elif command.action is CommandAction.CANCEL_ADDING:
            pass  # what works here is closes
        elif command.command_id not in self._working:
            self._working[command.command_id] = command
            self._try(command)

    def _try(self, command: Command) -> None:
        """Execute a command wholly, where its quotes and its limit allow it."""
        now = self.world.clock.now()
        if now > command.expires_at:
            self._working.pop(command.command_id, None)
            return
        legs = _legs(command)
        prices = [self._price(instrument.symbol, side) for instrument, side, _ in legs]
        if None in prices or not self._allows(command, legs, prices):
            return
        self._working.pop(command.command_id, None)
        for number, ((instrument, side, quantity), price) in enumerate(zip(legs, prices, strict=True)):
            key = (command.account, command.strategy or DEFAULT_STRATEGY, instrument.symbol)
            held = self._is.get(key, ZERO)
            units = min(quantity, abs(held)) if (held > 0) == (side == "SELL") else ZERO
            if units and price is not None:
                self._is[key] = EXACT.add(held, units if side == "BUY" else -units)
                self.closed += units
                self._fill(command, number, instrument, side, units, price, now)

    def _price(self, symbol: str, side: str) -> Decimal | None:
        quote = self._quotes.get(symbol)
        if quote is None:
            return None
        _, last, bid, ask, _ = quote
        found = ask if side == "BUY" else bid
        chosen = found if found is not None and bid is not None and ask is not None else last
        return None if chosen is None else to_decimal(float(chosen))

    def _allows(
        self,
        command: Command,
        legs: Sequence[tuple[Instrument, str, Decimal]],
        prices: Sequence[Decimal | None],
    ) -> bool:
        """Tell whether a limit allows the prices: of a single leg the price itself, of several a unit's net cost."""
        limit = command.limit_price
        if command.order_type == "MARKET" or limit is None:
            return True
        known = [price for price in prices if price is not None]
        if not command.legs:
            return known[0] <= limit if legs[0][1] == "BUY" else known[0] >= limit
        cost = ZERO
        for leg, price in zip(command.legs, known, strict=True):
            amount = EXACT.multiply(leg.ratio, price)
            cost = EXACT.add(cost, amount if leg.side == "BUY" else EXACT.minus(amount))
        return cost <= limit

    def _fill(
        self,
        command: Command,
        number: int,
        instrument: Instrument,
        side: str,
        units: Decimal,
        price: Decimal,
        now: datetime,
    ) -> None:
        account, group = self._account_of(command.account), command.group_of(instrument.symbol)
        body = {
            "type": "stopline.fill.v1",
            "fill_id": f"what-if-{command.command_id}-{number}",
            "order_id": command.command_id,
            "broker": account.brokers[0],
            "account": command.account,
            "strategy": command.strategy or DEFAULT_STRATEGY,
            "instrument": instrument.model_dump(mode="json", exclude_none=True),
            "side": side,
            "quantity": decimal_text(units),
            "price": decimal_text(price),
            "executed_at": utc_text(now),
            **({"group_id": group} if group else {}),
        }
        self.world.publish("fills", body, {"account": command.account, "broker": account.brokers[0]})
        self._published += 1

    def _adjusted(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return what is left of a fill of the past, or None."""
        symbol = body["instrument"]["symbol"]
        strategy = body.get("strategy", DEFAULT_STRATEGY)
        key = (body["account"], strategy, symbol)
        size = Decimal(body["quantity"])
        signed = size if body["side"] == "BUY" else -size
        was, held = self._was.get(key, ZERO), self._is.get(key, ZERO)
        closing = min(size, abs(was)) if was * signed < 0 else ZERO
        left = ZERO
        if closing and held * was > 0:
            left = abs(held) if closing == abs(was) else divide(abs(held) * closing, abs(was))
            left = Decimal(int(left)) if size == int(size) else left
        opening = ZERO if self._is_stopped(body["account"], strategy) else size - closing
        units = left + opening
        self._was[key] = was + signed
        self._is[key] = held + (units if signed > 0 else -units)
        if units == size:
            return body
        self.left_out += 1
        if not units:
            return None
        fee = divide(Decimal(body.get("fee", "0")) * units, size)
        changed = {"quantity": decimal_text(units), **({"fee": decimal_text(fee)} if "fee" in body else {})}
        return {**body, **changed}

    def _is_stopped(self, account: str, strategy: str) -> bool:
        """Tell whether an exit holds the strategy: what limits stop is the same in both runs, and let through."""
        standing = self.world.app.trading.standing(strategy_scope(account, strategy))
        by_exit = any(hold.actor.startswith("exit:") for hold in standing.holds.values())
        return by_exit and standing.state is not TradingState.ACTIVE


def _legs(command: Command) -> list[tuple[Instrument, str, Decimal]]:
    units = command.quantity or ZERO
    if command.legs:
        return [(leg.instrument, leg.side, EXACT.multiply(units, leg.ratio)) for leg in command.legs]
    if command.instrument is None or command.side is None:
        return []
    return [(command.instrument, command.side, units)]


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of an account in both runs; None is UNKNOWN."""

    account: str
    what: str
    without: Decimal | None
    with_exits: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        if self.without is None or self.with_exits is None:
            return None
        return EXACT.subtract(self.with_exits, self.without)


def compare(without: ReplayResult, with_exits: ReplayResult) -> list[Compared]:
    """Return the numbers of both runs side by side."""
    others = {a.account.account: a for a in with_exits.accounts}
    result = []
    for one in without.accounts:
        name = one.account.account
        other = others.get(name)
        if other is None:
            continue
        pairs = zip(_numbers(one, without), _numbers(other, with_exits), strict=True)
        result += [Compared(name, what, a, b) for (what, a), (_, b) in pairs]
    return result


def _numbers(a: AccountResult, result: ReplayResult) -> list[tuple[str, Decimal | None]]:
    risk = a.status["risk"] or {}
    exits = [x for x in result.alerts if x.account == a.account.account and x.kind in EXIT_KINDS]
    return [
        ("realised", a.realised),
        ("fees", a.fees),
        ("unrealised", _number(risk.get("unrealised"))),
        ("equity", _number(risk.get("equity"))),
        ("fills", Decimal(a.status["fills"])),
        ("open positions", Decimal(len(a.status["positions"]))),
        ("exits", Decimal(len(exits))),
    ]


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
