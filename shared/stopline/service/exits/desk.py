"""The exits of an account, for people and programs: what holds for each trade, and changes with a preview."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

from pydantic import Field, model_validator

from stopline.ledger.book import Book
from stopline.ledger.trade import Trade
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, decimal_text, price_text
from stopline.model.errors import Rejected
from stopline.model.ids import Id, Name
from stopline.model.settings.exits import ExitSettings, StrategyExits
from stopline.model.wire import Message, validate
from stopline.ports import Clock
from stopline.rules.exits.faults import check_exits, trade_faults
from stopline.rules.exits.plan import plan_of, times_set
from stopline.rules.exits.preview import Preview, StrategyPreview, plan_facts, preview, preview_strategy
from stopline.rules.exits.state import FRESH
from stopline.rules.exits.strategy_exits import UNSEEN, StrategyState
from stopline.rules.exits.subject import ONE, first_base, watches
from stopline.service.accounts.reader import AccountReader
from stopline.service.accounts.settings import merge
from stopline.service.accounts.writer import AccountWriter
from stopline.service.documents.aggregate import Aggregates
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.exits.encoding import AccountExits
from stopline.service.exits.strategy_summary import strategy_pnl


class ExitPatch(Message):
    """A merge patch (RFC 7396) of exits: of a `strategy`, of one open `trade` by its id (8 characters of it are enough
    where they name one), or of the account's trades where neither is named. Of a strategy it is `StrategyExits`, else
    `TradeExits`; null takes a setting back to what is inherited. `preview`: say what it would do and change nothing.
    `close_now`: without it a change is refused that would close a trade or stop a strategy at the present prices, which
    is what a stop on the wrong side does.
    """

    expected_version: int = Field(ge=1)
    strategy: Name | None = None
    trade: Id | None = None
    exits: dict[str, Any] = Field(min_length=1)
    preview: bool = False
    close_now: bool = False

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.strategy is not None and self.trade is not None:
            raise ValueError("strategy and trade: name one, a trade is of one strategy anyway")
        return self


class ExitDesk:
    """Shows and changes exits. A change is a version of the account with an audit row, and holds within 30 s."""

    def __init__(
        self,
        reader: AccountReader,
        writer: AccountWriter,
        books: Aggregates[Book],
        risk: Aggregates[RiskState],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._reader = reader
        self._writer = writer
        self._books = books
        self._risk = risk

    def facts(self, account: Account) -> dict[str, Any]:
        """Return the settings, and of each open trade and strategy what holds: decimal text, None where UNKNOWN."""
        shown = self._shown(account.account)
        trades = shown.get("trades") or {}
        return {
            "account": account.account,
            "version": account.version,
            "settings": _settings(account),
            "trades": {
                w.held.trade_id: {
                    "name": w.held.name,
                    "strategy": w.held.strategy,
                    "plan": plan_facts(w.plan),
                    "state": trades.get(w.held.trade_id),
                }
                for w in watches(account, self._book(account).open_trades())
            },
            "strategies": shown.get("strategies") or {},
            "paused": shown.get("paused") or [],
        }

    def change(self, name: str, patch: ExitPatch, actor: str) -> dict[str, Any]:
        """Apply a patch, or say what it would do. Raises Rejected STALE_VERSION, UNKNOWN_TRADE, BAD_EXITS, CLOSES_NOW, or
        BAD_MESSAGE that names the field, and Conflict when somebody else wrote at the same time.
        """
        self._reader.forget(name)
        before = self._reader.require(name)
        after = self._edited(before, patch)
        changes, strategies = self._previewed(before, after), self._previewed_strategies(before, after)
        if not patch.preview:
            if not patch.close_now:
                _refuse_closing(changes, strategies, after.currency)
            after = self._writer.change(name, lambda now: self._edited(now, patch), actor)
            self._reader.forget(name)
        return {
            "account": name,
            "version": after.version,
            "applied": not patch.preview,
            "settings": _settings(after),
            "trades": {one.trade_id: _shown(one) for one in changes},
            "strategies": {one.strategy: _shown_strategy(one) for one in strategies},
            "notes": self._notes(after, patch),
        }

    def _notes(self, account: Account, patch: ExitPatch) -> list[str]:
        """Return what may be a slip: settings are taken for a strategy that has not traded yet, or is misspelt."""
        traded = {name for name, _ in self._book(account).strategies}
        if patch.strategy is None or patch.strategy in traded:
            return []
        there = f"there are {', '.join(sorted(traded))}" if traded else "there are no fills"
        return [f"no fill is of strategy {patch.strategy!r} yet; {there}"]

    def _edited(self, before: Account, patch: ExitPatch) -> Account:
        """Return an account with a patch. The writer asks again with what is stored then."""
        if before.version != patch.expected_version:
            raise Rejected(
                "STALE_VERSION",
                f"account {before.account} is at version {before.version}, the patch is for {patch.expected_version}",
            )
        trades = list(self._book(before).open_trades())
        where: dict[str, Any] = {"trades": patch.exits}
        if patch.strategy is not None:
            where = {"strategies": {patch.strategy: patch.exits}}
        elif patch.trade is not None:
            where = {"single": {_open_trade(before.account, trades, patch.trade): patch.exits}}
        known = before.exits.model_dump(mode="json")
        kept = {trade.trade_id for trade in self._book(before).trades()}  # others are over, and forgotten
        known["single"] = {id_: some for id_, some in known["single"].items() if id_ in kept}
        merged = merge(known, where)
        exits = times_set(before.exits, validate(ExitSettings, merged), self._clock.now())
        after = before.model_copy(update={"exits": exits})
        faults = check_exits(after)
        states, were = self._exits(before).trades, watches(before, trades)
        for was, new in zip(were, watches(after, trades), strict=True):
            if was.plan != new.plan:
                found = trade_faults(new.plan, new.held, states.get(new.held.trade_id, FRESH))
                faults += [f"trade {new.held.trade_id} ({new.held.name}): {fault}" for fault in found]
        if faults:
            raise Rejected("BAD_EXITS", "; ".join(faults)[:800])
        return after

    def _previewed(self, before: Account, after: Account) -> list[Preview]:
        trades = list(self._book(before).open_trades())
        exits = self._exits(before).trades
        shown = self._shown(before.account).get("trades") or {}
        found = []
        at = self._clock.now()
        for was, new in zip(watches(before, trades), watches(after, trades), strict=True):
            text = (shown.get(new.held.trade_id) or {}).get("price")
            price = None if text is None else Decimal(text)
            found.append(preview(was, new, exits.get(new.held.trade_id, FRESH), price, at))
        return [one for one in found if one.before != one.after]

    def _previewed_strategies(self, before: Account, after: Account) -> list[StrategyPreview]:
        book, states, found = self._book(before), self._exits(before).strategies, []
        for name, new in after.exits.strategies.items():
            was = before.exits.strategies.get(name, StrategyExits())
            switches = plan_of(before.exits, name).auto_close, plan_of(after.exits, name).auto_close
            if not new.watches_mtm or (new == was and switches[0] == switches[1]):
                continue
            state, mtm = self._mtm(after, name, new, book, states.get(name, UNSEEN))
            found.append(preview_strategy(name, was, new, state, mtm, switches))
        return found

    def _mtm(
        self, account: Account, name: str, settings: StrategyExits, book: Book, state: StrategyState
    ) -> tuple[StrategyState, Decimal | None]:
        """Return a strategy's state and MTM as its next reading would find them, at the prices of the last evaluation; an
        MTM of None is UNKNOWN.
        """
        session = account.sessions.session_of(self._clock.now())
        if state.session is not None and settings.day == "session" and state.session != session:
            return StrategyState(session=session), ZERO
        if state.session is not None:
            return state, None if state.last is None else EXACT.subtract(state.last, state.base)
        total = strategy_pnl(account, name, settings, book, self._risk.read(account.account))
        if settings.day == "carry":
            return state, total
        begins = account.sessions.session_start(session)
        base = first_base(name, settings, book, begins, lambda c: ONE if c == account.currency else None)
        if base is None:
            return state, ZERO  # it counts from now on
        return state, None if total is None else EXACT.subtract(total, base)

    def _exits(self, account: Account) -> AccountExits:
        risk = self._risk.read(account.account)
        return risk.exits if risk else AccountExits()

    def _book(self, account: Account) -> Book:
        return self._books.read(account.account) or Book(account.account)

    def _shown(self, name: str) -> Mapping[str, Any]:
        risk = self._risk.read(name)
        return (risk.shown.get("exits") or {}) if risk else {}


def _settings(account: Account) -> dict[str, Any]:
    return account.exits.model_dump(mode="json", exclude_none=True, exclude={"set_at"})


def _shown(one: Preview) -> dict[str, Any]:
    return {
        "name": one.name,
        "price": None if one.price is None else decimal_text(one.price),
        "before": {**plan_facts(one.before), **_levels(one.levels_before)},
        "after": {**plan_facts(one.after), **_levels(one.levels_after)},
        "closes_now": one.closes_now,
    }


def _levels(levels: tuple[Decimal | None, Decimal | None]) -> dict[str, str | None]:
    names = ("stop_at", "target_at")
    return {n: None if v is None else price_text(v) for n, v in zip(names, levels, strict=True)}


def _open_trade(account: str, trades: Sequence[Trade], text: str) -> str:
    """Return the id of the open trade that a text names: the whole id, or 8 characters or more that begin only one."""
    ids = [trade.trade_id for trade in trades]
    found = [id_ for id_ in ids if id_ == text] or [
        id_ for id_ in ids if len(text) >= 8 and id_.startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} open trades that begin with" if found else "no open trade"
    raise Rejected("UNKNOWN_TRADE", f"account {account} has {what} {text!r}")


def _refuse_closing(trades: Sequence[Preview], strategies: Sequence[StrategyPreview], currency: str) -> None:
    """Refuse a change that nobody said is meant to close something."""
    found = []
    for one in trades:
        if one.is_new and one.closes_now:
            where = "an unknown price" if one.price is None else f"its price of {decimal_text(one.price)}"
            found.append(
                f"{one.closes_now} would close {one.name} (trade {one.trade_id}) at once, at {where}"
            )
    for other in strategies:
        if other.is_new and other.mtm is not None:
            money = f"{decimal_text(round(other.mtm, 2))} {currency}"
            found.append(
                f"{other.closes_now} would stop strategy {other.strategy} at once, at its MTM of {money}"
            )
    if found:
        raise Rejected("CLOSES_NOW", f"{'; '.join(found)[:650]}. If that is meant, say close_now")


def _shown_strategy(one: StrategyPreview) -> dict[str, Any]:
    names = ("mtm", "stop_before", "stop_after")
    texts = {n: None if (v := getattr(one, n)) is None else decimal_text(round(v, 6)) for n in names}
    return {**texts, "closes_now": one.closes_now}
