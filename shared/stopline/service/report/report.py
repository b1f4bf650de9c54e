"""The risk report of one account: portfolio, positions, strategies, limits, risk, market, alerts, recommendations."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import ZERO, decimal_text
from stopline.model.errors import Transient, Unreadable
from stopline.model.times import utc_text
from stopline.ports import Clock, History, Store, Where
from stopline.rules.limits.figures import Rate, Valued, add, figures
from stopline.rules.limits.registry import Reading, readings
from stopline.rules.reduction.advice import Advice, advise, group_of
from stopline.service.alerting.records import decode_record
from stopline.service.documents.aggregate import Aggregates
from stopline.service.evaluation.evaluate import exchange_rate, value_positions
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.history.factors import FactorReader
from stopline.service.measuring.measured import Measured
from stopline.service.prices.greeks import net_greeks
from stopline.service.prices.mark_prices import Desk, PriceMarker
from stopline.service.prices.market import market_of
from stopline.service.report.activity import activity_facts
from stopline.service.report.exposure import exposure_facts
from stopline.service.report.performance import performance_facts, unknown_performance

HISTORY = timedelta(days=30)
PERFORMANCE = timedelta(days=366)
SHOWN_METRICS = ("equity", "var", "near_stress", "net_delta", "volatility_index")
MOST_ALERTS = 20


class Reporter:
    """Makes risk reports out of what is stored; writes nothing."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        desk: Desk,
        marker: PriceMarker,
        risk: Aggregates[RiskState],
        measured: Aggregates[Measured],
        history: History | None,
        factors: FactorReader,
    ) -> None:
        self._store = store
        self._clock = clock
        self._desk = desk
        self._marker = marker
        self._risk = risk
        self._measured = measured
        self._history = history
        self._factors = factors

    def report(self, account: Account) -> dict[str, Any]:
        """Return the report as plain data: decimal text, None where UNKNOWN. It is of this moment's marks; VaR,
        stress and correlation are those of the last sweep, with their time. Raises Unreadable where the book is damaged.
        """
        now, name, desk = self._clock.now(), account.account, self._desk
        desk.refresh()
        if name not in desk.books and name in desk.unreadable:
            raise Unreadable(desk.unreadable[name])
        desk.accounts[name] = account
        book = desk.books.get(name) or Book(name)
        risk, measured = self._risk.read(name), self._measured.read(name)
        state = risk or RiskState(name, now, -1)
        positions: list[Valued] = []
        greeks: dict[str, Any] | None = None
        if name in desk.columns.slices:
            positions = value_positions(desk.columns, desk.marks.marks, [account], now)[name]
            each = self._marker.watched(account, positions, now)
            greeks = net_greeks(desk.columns, desk.terms, [each], now)[name].greeks.shown()
        rate = exchange_rate(account, desk.marks.marks, now)
        contracts = (valued.position.instrument for valued in positions)
        market = market_of(contracts, desk.marks.marks, account, now, self._factors.latest(account.calendar))

        def read(held: Sequence[Valued]) -> dict[str, Reading]:
            numbers = figures(
                account, book, held, rate, state.day_start, state.last_total, now, state.track, market
            )
            return {reading.key: reading for reading in readings(numbers, {})}

        numbers = figures(
            account, book, positions, rate, state.day_start, state.last_total, now, state.track, market
        )
        return {
            "account": name,
            "owner": account.owner,
            "currency": account.currency,
            "profile": account.profile,
            "session": numbers.session.isoformat(),
            "at": utc_text(now),
            "time_zone": account.time_zone,
            "portfolio": {
                "capital": decimal_text(account.capital),
                "equity": _text(numbers.equity),
                "pnl_day": _text(numbers.pnl_day),
                "realised_day": _text(numbers.realised_day),
                "unrealised": _text(numbers.unrealised),
                "gross_exposure": _text(numbers.gross_exposure),
                "open_positions": len(positions),
                **_sides(positions, rate),
                "unpriced": numbers.unpriced,
                "unrated": numbers.unrated,
            },
            "positions": [_position(valued, rate, measured) for valued in positions],
            "strategies": _strategies(positions, rate, greeks),
            "exposure": exposure_facts(positions, rate, numbers.exposures),
            "activity": activity_facts(book.trades(), numbers, rate, now),
            "limits": [
                {
                    "limit": r.limit.name,
                    "object": r.object,
                    "current": _text(r.current),
                    "threshold": _text(r.threshold),
                    "unit": r.unit,
                    "level": r.level.value,
                }
                for r in read(positions).values()
            ],
            "greeks": greeks,
            "measures": {**measured.shown, "as_of": utc_text(measured.as_of)} if measured else None,
            "alerts": self._alerts(name),
            "history": self._past(name, now, state),
            "performance": self._performance(account, now),
            "recommendations": [
                *(_advice(one) for one in advise(positions, read, numbers.unrated)),
                *_near_advice(account, positions, measured, numbers.equity),
            ],
        }

    def _alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the newest alerts of the account."""
        found = self._store.query("alerts", [Where("account", "==", name)])
        found.sort(key=lambda document: (document.data["raised_at"], document.path.id), reverse=True)
        alerts = [
            (document.data["status"], decode_record(document).alert) for document in found[:MOST_ALERTS]
        ]
        return [
            {
                "kind": alert.kind,
                "object": alert.object,
                "severity": alert.severity.value,
                "summary": alert.summary,
                "status": status,
                "raised_at": utc_text(alert.raised_at),
                "resolved": alert.resolved,
            }
            for status, alert in alerts
        ]

    def _past(self, name: str, now: datetime, state: RiskState) -> dict[str, Any]:
        """Return the last value of each session of 30 days, by metric; without a history the reason. `recent`: what the
        risk document itself remembers, P&L since the account began at moments of the last 7 days.
        """
        recent = [[utc_text(at), decimal_text(round(total, 2))] for at, total, *_ in state.track.samples]
        if self._history is None:
            return {"unknown": "there is no history here", "metrics": {}, "recent": recent}
        since = (now - HISTORY).date()
        try:
            rows = self._history.read(
                "metrics", [Where("account", "==", name), Where("session", ">=", since)]
            )
        except Transient as problem:
            return {"unknown": str(problem)[:200], "metrics": {}, "recent": recent}
        metrics: dict[str, dict[str, Any]] = {metric: {} for metric in SHOWN_METRICS}
        for row in sorted(rows, key=lambda row: row["as_of"]):
            if row["metric"] in metrics:
                metrics[row["metric"]][row["session"].isoformat()] = _text(row["value"])
        return {"unknown": None, "metrics": metrics, "recent": recent}

    def _performance(self, account: Account, now: datetime) -> dict[str, Any]:
        """Return the measures of the account's sessions of a year; without a history the reason."""
        where = [
            Where("account", "==", account.account),
            Where("session", ">=", (now - PERFORMANCE).date()),
            Where("kind", "==", "session_end"),
        ]
        why = "there is no history here"
        if self._history is not None:
            try:
                return performance_facts(self._history.read("account_snapshots", where), account)
            except Transient as problem:
                why = str(problem)[:200]
        return unknown_performance(why)


def _sides(positions: Sequence[Valued], rate: Rate) -> dict[str, Any]:
    values = [_converted(v, rate) for v in positions]
    long = add(max(value, ZERO) if value is not None else None for value in values)
    short = add(min(value, ZERO) if value is not None else None for value in values)
    return {"long_value": _text(long), "short_value": _text(short)}


def _converted(valued: Valued, rate: Rate) -> Decimal | None:
    factor = rate(valued.position.instrument.currency)
    return None if valued.value is None or factor is None else valued.value * factor


def _position(valued: Valued, rate: Rate, measured: Measured | None) -> dict[str, Any]:
    position, contract = valued.position, valued.position.instrument
    legs = (measured.shown["tail"]["legs"] if measured else {}) or {}
    near = ((measured.shown["stress"]["grid"] or {}).get("near_positions") or {}) if measured else {}
    return {
        "key": position.key,
        "symbol": contract.symbol,
        "underlying": contract.underlying,
        "strategy": position.strategy,
        "side": "long" if position.quantity > 0 else "short",
        "quantity": decimal_text(position.quantity),
        "average_price": _text(position.average_price),
        "mark": _text(valued.mark),
        "value": _text(_converted(valued, rate)),
        "unrealised": _text(valued.unrealised),
        "opened_at": utc_text(position.opened_at) if position.opened_at else None,
        "es_contribution": legs.get(position.key),
        "near_stress": near.get(position.key),
    }


def _strategies(
    positions: Sequence[Valued], rate: Rate, greeks: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Valued]] = {}
    for valued in positions:
        groups.setdefault(valued.position.strategy, []).append(valued)
    result = {}
    for name, group in sorted(groups.items()):
        gains = [
            None
            if v.unrealised is None or (f := rate(v.position.instrument.currency)) is None
            else v.unrealised * f
            for v in group
        ]
        net = (greeks or {}).get("strategies", {}).get(name, {})
        result[name] = {
            "positions": len(group),
            "value": _text(add(_converted(v, rate) for v in group)),
            "unrealised": _text(add(gains)),
            "delta": net.get("delta"),
            "theta": net.get("theta"),
            "vega": net.get("vega"),
        }
    return result


def _near_advice(
    account: Account, positions: Sequence[Valued], measured: Measured | None, equity: Decimal | None
) -> list[dict[str, Any]]:
    """Return what to reduce where a near move would cost too much: the strategy and underlying that lose most in it."""
    grid = (measured.shown["stress"]["grid"] if measured else None) or {}
    near, by_position = grid.get("near"), grid.get("near_positions") or {}
    if not near or near["pnl"] is None or equity is None or equity <= 0 or not by_position:
        return []
    loss = -Decimal(near["pnl"])
    limit = account.measures.exposure_warning
    share = loss * 100 / equity
    if share < limit:
        return []
    groups: dict[str, Decimal] = {}
    for valued in positions:
        pnl = by_position.get(valued.position.key)
        if pnl is not None:
            name = group_of(valued)
            groups[name] = groups.get(name, ZERO) + Decimal(pnl)
    if not groups:
        return []
    worst = min(groups, key=lambda group: (groups[group], group))
    after = (loss + groups[worst]) * 100 / equity
    scenario = f"spot {near['spot']:+.0%} with volatility x{near['volatility']:g}"
    return [
        {
            "limit": "exposure_warning",
            "object": "account",
            "position": worst,
            "action": f"Close {worst}",
            "effect": f"the loss at {scenario} goes from {share:.1f}% to {after:.1f}% of equity, limit {limit}%",
            "before": f"{share:.2f}",
            "after": f"{after:.2f}",
            "threshold": decimal_text(limit),
        }
    ]


def _advice(one: Advice) -> dict[str, Any]:
    return {
        "limit": one.limit,
        "object": one.object,
        "position": one.position,
        "action": one.action,
        "effect": one.effect,
        "before": _text(one.before),
        "after": _text(one.after),
        "threshold": _text(one.threshold),
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
