"""Trades and levels as people see them: out of the book and of what the last evaluation stored.

`now` is the moment of that evaluation; None where there was none.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.trade import Trade, describe_leg
from stopline.model.decimals import decimal_text
from stopline.model.instrument import Kind
from stopline.model.times import utc_text
from stopline.rules.limits.figures import Rate
from stopline.rules.limits.hierarchy import Level, Marks, hierarchy
from stopline.rules.limits.net_greeks import NetGreeks, plain
from stopline.rules.watching.trades import UNSEEN, TradeWatch, total_pnl

_ZERO = Decimal(0)
_SHOWN = ("realised", "unrealised", "fees", "income", "net", "margin", "exposure", "concentration")


def market_facts(book: Book, rate: Rate, spot: SpotOf) -> dict[str, dict[str, str | None]]:
    """Return the rates and prices of underlyings that the levels need, as plain data for the risk document."""
    trades = book.trades()
    currencies = sorted({name for trade in trades for name in (trade.currency, *trade.other_fees)})
    options = {
        leg.instrument.underlying
        for trade in trades
        for leg in trade.legs
        if leg.instrument.kind is Kind.OPTION
    }
    return {
        "rates": {currency: _text(rate(currency)) for currency in currencies},
        "spots": {underlying: _text(spot(underlying)) for underlying in sorted(options)},
    }


def shown_trades(
    book: Book, shown: Mapping[str, Any], seen: Mapping[str, TradeWatch], now: datetime | None
) -> list[dict[str, Any]]:
    """Return the trades of a book as plain data, those in the risk document with what prices showed of them."""
    return [_trade(trade, shown, seen.get(trade.trade_id, UNSEEN), now) for trade in book.trades()]


def shown_levels(account: str, book: Book, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account's levels, at the marks of the last evaluation, as plain data."""
    return _level(hierarchy(account, book.trades(), _marks(book, shown)))


def _marks(book: Book, shown: Mapping[str, Any]) -> Marks:
    positions = shown.get("positions") or {}

    def mark_of(key: str) -> Decimal | None:
        return _number((positions.get(key) or {}).get("mark"))

    def greeks_of(key: str) -> NetGreeks | None:
        known = positions.get(key) or {}
        if "greeks" in known:
            return NetGreeks(**{name: _number(known["greeks"].get(name)) for name in _GREEKS})
        position = book.positions.get(key)
        value = _number(known.get("value"))
        if position is None or position.instrument.kind is Kind.OPTION or value is None:
            return None
        units = position.quantity * position.instrument.multiplier
        return NetGreeks(units, value, _ZERO, _ZERO, _ZERO, None)

    def rate(currency: str) -> Decimal | None:
        return _number((shown.get("rates") or {}).get(currency))

    def spot(underlying: str) -> Decimal | None:
        return _number((shown.get("spots") or {}).get(underlying))

    return Marks(mark_of, greeks_of, rate, spot)


_GREEKS = ("units", "delta", "gamma", "theta", "vega", "beta_delta")


def _trade(trade: Trade, shown: Mapping[str, Any], seen: TradeWatch, now: datetime | None) -> dict[str, Any]:
    spots, positions = shown.get("spots") or {}, shown.get("positions") or {}
    risk = trade.risk(_number(spots.get(trade.underlying)))
    rates = shown.get("rates") or {}
    total = total_pnl(
        trade,
        lambda key: _number((positions.get(key) or {}).get("mark")),
        lambda currency: _number(rates.get(currency)),
    )
    return {
        "trade_id": trade.trade_id,
        "strategy": trade.strategy,
        "underlying": trade.underlying,
        "structure": trade.structure.value,
        "status": trade.status.value,
        "quantity": decimal_text(trade.quantity),
        "currency": trade.currency,
        "net_credit": decimal_text(trade.net_credit),
        "max_loss": _text(risk.max_loss),
        "max_profit": _text(risk.max_profit),
        "margin": _text(risk.margin),
        "return_on_risk": _text(risk.return_on_risk),
        "breakevens": [decimal_text(price) for price in risk.breakevens],
        "realised": decimal_text(trade.realised),
        "fees": decimal_text(trade.fees),
        "other_fees": {currency: decimal_text(amount) for currency, amount in trade.other_fees.items()},
        "total_pnl": _text(total),
        "mae": _text(seen.low),
        "mfe": _text(seen.high),
        "vix_entry": _text(seen.vix_entry),
        "vix_exit": _text(seen.vix_exit),
        "entered_at": utc_text(trade.entered_at),
        "exited_at": utc_text(trade.exited_at) if trade.exited_at else None,
        "seconds_in_trade": _seconds(trade, now),
        "legs": [describe_leg(leg) for leg in trade.legs],
    }


def _seconds(trade: Trade, now: datetime | None) -> int | None:
    """Return how long a trade has been open; of an open one that was never evaluated nothing is known."""
    until = trade.exited_at or now
    return None if until is None else int((until - trade.entered_at).total_seconds())


def _level(level: Level) -> dict[str, Any]:
    return {
        "name": level.name,
        "trades": level.trades,
        "open_trades": level.open_trades,
        **{name: _text(getattr(level, name)) for name in _SHOWN},
        "greeks": plain(level.greeks),
        "parts": [_level(part) for part in level.parts],
    }


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
