"""The exits of an account, for people and programs: what holds for each trade, and changes with a preview."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import Field, model_validator

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.ids import Id, Name
from stopline.model.settings.exits import ExitSettings
from stopline.model.wire import Message, validate
from stopline.ports import Clock
from stopline.rules.exits.plan import check_exits
from stopline.rules.exits.preview import Preview, plan_facts, preview
from stopline.rules.exits.state import FRESH
from stopline.rules.exits.subject import watches
from stopline.service.accounts.reader import AccountReader
from stopline.service.accounts.settings import merge
from stopline.service.accounts.writer import AccountWriter
from stopline.service.documents.aggregate import Aggregates
from stopline.service.evaluation.risk_state import RiskState


class ExitPatch(Message):
    """A merge patch (RFC 7396) of exits: of a `strategy`, of one open `trade` by its id, or of the account's trades where
    neither is named. Of a strategy it is `StrategyExits`, else `TradeExits`; null takes a setting back to what is
    inherited. `preview`: say what it would do and change nothing.
    """

    expected_version: int = Field(ge=1)
    strategy: Name | None = None
    trade: Id | None = None
    exits: dict[str, Any] = Field(min_length=1)
    preview: bool = False

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
            "settings": account.exits.model_dump(mode="json", exclude_none=True),
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
        """Apply a patch, or say what it would do. Raises Rejected STALE_VERSION, UNKNOWN_TRADE, BAD_EXITS, or BAD_MESSAGE
        that names the field, and Conflict when somebody else wrote at the same time.
        """
        self._reader.forget(name)
        before = self._reader.require(name)
        after = self._edited(before, patch)
        changes = self._previewed(before, after)
        if not patch.preview:
            after = self._writer.change(name, lambda now: self._edited(now, patch), actor)
            self._reader.forget(name)
        return {
            "account": name,
            "version": after.version,
            "applied": not patch.preview,
            "settings": after.exits.model_dump(mode="json", exclude_none=True),
            "trades": {one.trade_id: _shown(one) for one in changes},
        }

    def _edited(self, before: Account, patch: ExitPatch) -> Account:
        """Return an account with a patch. The writer asks again with what is stored then."""
        if before.version != patch.expected_version:
            raise Rejected(
                "STALE_VERSION",
                f"account {before.account} is at version {before.version}, the patch is for {patch.expected_version}",
            )
        if patch.trade is not None and all(
            trade.trade_id != patch.trade for trade in self._book(before).open_trades()
        ):
            raise Rejected("UNKNOWN_TRADE", f"account {before.account} has no open trade {patch.trade!r}")
        where: dict[str, Any] = {"trades": patch.exits}
        if patch.strategy is not None:
            where = {"strategies": {patch.strategy: patch.exits}}
        elif patch.trade is not None:
            where = {"single": {patch.trade: patch.exits}}
        merged = merge(before.exits.model_dump(mode="json"), where)
        after = before.model_copy(update={"exits": validate(ExitSettings, merged)})
        faults = check_exits(after)
        if faults:
            raise Rejected("BAD_EXITS", "; ".join(faults)[:800])
        return after

    def _previewed(self, before: Account, after: Account) -> list[Preview]:
        trades = list(self._book(before).open_trades())
        states = self._risk.read(before.account)
        exits = states.exits.trades if states else {}
        shown = self._shown(before.account).get("trades") or {}
        found = []
        at = self._clock.now()
        for was, new in zip(watches(before, trades), watches(after, trades), strict=True):
            text = (shown.get(new.held.trade_id) or {}).get("price")
            price = None if text is None else Decimal(text)
            found.append(preview(was, new, exits.get(new.held.trade_id, FRESH), price, at))
        return [one for one in found if one.before != one.after]

    def _book(self, account: Account) -> Book:
        return self._books.read(account.account) or Book(account.account)

    def _shown(self, name: str) -> Mapping[str, Any]:
        risk = self._risk.read(name)
        return (risk.shown.get("exits") or {}) if risk else {}


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
    return {n: None if v is None else decimal_text(round(v, 6)) for n, v in zip(names, levels, strict=True)}
