"""Trades as rows of the history: when they close, and whenever what was told of them is no longer so."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.trade import Status, Trade, describe_leg, group_legs
from stopline.ledger.trade_leg import MATCHED_WITHIN, TradeLeg
from stopline.ledger.trade_risk import TradeRisk
from stopline.ledger.trade_table import LegTable
from stopline.model.decimals import EXACT, decimal_text
from stopline.model.ids import digest
from stopline.model.messages import HistoryRow
from stopline.rules.orders.open_risk import Rate
from stopline.rules.watching.trades import TradeWatch, other_costs
from stopline.service.history.rows import table_row

NOTHING: Mapping[str, Sequence[TradeLeg]] = MappingProxyType({})
VOID = "VOID"  # a trade that was told, and is none any more


def trade_rows(
    before: Book, book: Book, spot: SpotOf, recalled: Mapping[str, Sequence[TradeLeg]] = NOTHING
) -> list[HistoryRow]:
    """Return the rows of the trades that a commit closed, opened again, restated, or made void. `recalled` are legs that
    the book before had forgotten, as they stood; `spot` is asked for the underlyings of what is, or was, naked.
    """
    known = before.legs.joined(recalled) if any(recalled.values()) else before.legs
    was, now = (
        {trade.trade_id: trade for trade in group_legs(book.account, legs)}
        for legs in _concerned(known, book.legs)
    )
    told = {id_ for id_, trade in was.items() if trade.status is Status.CLOSED}
    changed = [
        trade
        for id_, trade in now.items()
        if trade != was.get(id_) and (trade.status is Status.CLOSED or id_ in told)
    ]
    rows = [trade_row(trade, trade.status.value, book.revision, spot) for trade in changed]
    return rows + [trade_row(was[id_], VOID, book.revision, spot) for id_ in sorted(told - now.keys())]


def seen_row(trade: Trade, seen: TradeWatch, revision: int, spot: SpotOf, rate: Rate) -> HistoryRow:
    """Return the row of a closed trade with what prices showed of it."""
    return trade_row(trade, trade.status.value, revision, spot, seen, rate)


def _no_rate(_currency: str) -> None:
    """Who books fills knows no rates: what a trade with fees in another currency has made is told with its extremes."""


def trade_row(
    trade: Trade,
    status: str,
    revision: int,
    spot: SpotOf,
    seen: TradeWatch | None = None,
    rate: Rate = _no_rate,
) -> HistoryRow:
    """Return the row of one trade at one revision of its book; `rate` is into the account's currency."""
    risk, exited = trade.risk(), trade.exited_at
    costs = other_costs(trade, rate)
    if risk.naked and (price := spot(trade.underlying)) is not None:
        risk = trade.risk(price)
    row = {
        "account": trade.account,
        "trade_id": trade.trade_id,
        "strategy": trade.strategy,
        "underlying": trade.underlying,
        "structure": trade.structure.value,
        "status": status,
        "quantity": trade.quantity,
        "currency": trade.currency,
        "net_credit": trade.net_credit,
        "max_profit": risk.max_profit,
        "max_loss": risk.max_loss,
        "margin": risk.margin,
        "return_on_risk": risk.return_on_risk,
        "realised": trade.realised,
        "fees": trade.fees,
        "income": trade.income,
        "net": None if costs is None else EXACT.subtract(trade.net, costs),
        "entered_at": trade.entered_at,
        "exited_at": exited,
        "seconds_in_trade": _seconds(trade.entered_at, exited),
        "mae": seen.low if seen else None,
        "mfe": seen.high if seen else None,
        "vix_entry": seen.vix_entry if seen else None,
        "vix_exit": seen.vix_exit if seen else None,
        "book_revision": revision,
    }
    event_id = digest("trade_seen" if seen else "trade", trade.trade_id, str(revision))
    return table_row("trades", event_id, row, _detail(trade, risk))


def _detail(trade: Trade, risk: TradeRisk) -> dict[str, Any]:
    return {
        "legs": [describe_leg(leg) for leg in trade.legs],
        "other_fees": {currency: decimal_text(amount) for currency, amount in trade.other_fees.items()},
        "breakevens": [decimal_text(price) for price in risk.breakevens],
        "loss_unbounded": risk.loss_unbounded,
        "profit_unbounded": risk.profit_unbounded,
    }


def _seconds(since: datetime, until: datetime | None) -> int | None:
    return None if until is None else int((until - since).total_seconds())


def _concerned(before: LegTable, after: LegTable) -> tuple[list[TradeLeg], list[TradeLeg]]:
    """Return the legs, before and after a commit, of the trades that it may have touched; none where no leg of their
    scopes is closed, as then there is nothing to tell.
    """
    keys = after.changed_since(before)
    scopes = {table.scope_of(key) for table in (before, after) for key in keys if key in table}
    if not (before.has_closed_legs(scopes) or after.has_closed_legs(scopes)):
        return [], []
    was, now = before.of_scopes(scopes), after.of_scopes(scopes)
    touched = [leg for some in (was, now) for key in keys for leg in some.get(key, ())]
    near = {id(leg) for leg in touched}
    tags = {leg.tag for leg in touched}
    for chain in _chains(leg for some in (was, now) for legs in some.values() for leg in legs):
        if any(id(leg) in near for leg in chain):
            near |= {id(leg) for leg in chain}
            tags |= {leg.tag for leg in chain}
    tags.discard("")
    found = [
        [leg for legs in some.values() for leg in legs if id(leg) in near or leg.tag in tags]
        for some in (was, now)
    ]
    return found[0], found[1]


def _chains(legs: Iterable[TradeLeg]) -> Iterator[list[TradeLeg]]:
    """Yield the legs that matching may put together: those without a group, connected by gaps of a few seconds."""
    chain: list[TradeLeg] = []
    for leg in sorted((leg for leg in legs if not leg.tag.startswith("group:")), key=_start):
        if chain and leg.start[0] - chain[-1].start[0] > MATCHED_WITHIN:
            yield chain
            chain = []
        chain.append(leg)
    if chain:
        yield chain


def _start(leg: TradeLeg) -> tuple[datetime, str]:
    return leg.start
