"""The sweep's part of risk: VaR, stress, correlation and market condition of each account, told and kept."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book as Ledger
from stopline.model.account import Account
from stopline.model.errors import Unreadable
from stopline.model.ids import digest
from stopline.model.messages import HistoryRow, alert_effect
from stopline.model.times import utc_text
from stopline.risk.book_risk import Unknown
from stopline.rules.alerting.condition import Condition
from stopline.rules.watching.market import (
    CORRELATION,
    EXPOSURE,
    SPIKE,
    correlation_notices,
    exposure_notices,
    notices_alerts,
    volatility_spikes,
)
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.history.end_session import Ended, last_ended
from stopline.service.history.factors import FactorReader
from stopline.service.history.rows import history_effect, table_row
from stopline.service.measuring.judged_scenarios import judged
from stopline.service.measuring.measured import Measured
from stopline.service.measuring.measures import (
    Measures,
    amount,
    measure,
    shown_correlation,
    shown_grid,
    shown_market,
    shown_tail,
)
from stopline.service.prices.data_quality import data_quality
from stopline.service.prices.legs import book_of
from stopline.service.prices.mark_prices import Desk, PriceMarker
from stopline.service.prices.market import market_of

log = logging.getLogger("stopline")
AGAIN = timedelta(minutes=15)  # the same book and prices are measured again only after that: time passes
CLOSES_KEPT = timedelta(minutes=5)  # that an instance goes by the closes it has read
KEPT_EVERY = timedelta(minutes=15)  # one row of each metric


class RiskMeasurer:
    """Writes `measures/{account}`. What it works out twice is the same; what it tells, it tells once."""

    def __init__(
        self,
        states: Aggregates[Measured],
        risk: Aggregates[RiskState],
        ended: Aggregates[Ended],
        desk: Desk,
        marker: PriceMarker,
        factors: FactorReader,
    ) -> None:
        self._states = states
        self._risk = risk
        self._ended = ended
        self._desk = desk
        self._marker = marker
        self._factors = factors
        self._known: dict[str, tuple[datetime, Ended | None]] = {}

    def measure(self, name: str, now: datetime, cause: str) -> Measured | None:
        """Measure one account that has just been evaluated; return what stands."""
        account, ledger = self._desk.accounts.get(name), self._desk.books.get(name)
        risk = self._risk.peek(name)
        if account is None or ledger is None or risk is None:
            return None
        before = self._states.peek(name)
        session = last_ended(account.sessions, now)
        factors = self._factors.latest(account.calendar)
        known = factors.sessions[-1].isoformat() if factors and factors.sessions else "-"
        prices = utc_text(risk.prices_at) if risk.prices_at else "-"
        inputs = f"{account.version}.{ledger.revision}.{prices}.{known}"
        young = before is not None and before.inputs == inputs and now - before.as_of < AGAIN
        if before is not None and young and before.ended is not None and before.ended >= session:
            return before
        worked_out = self._worked_out(account, ledger, risk, now)

        def decide(old: Measured | None, attempt: int) -> Change[Measured] | None:
            if old is not None and old.as_of > now:
                return None  # somebody with a later look was here
            return _change(account, ledger, risk, worked_out, old, inputs, session, now, cause)

        return self._states.change(name, decide)

    def _last_ended(self, name: str, now: datetime) -> Ended | None:
        """Return a calendar's last ended session, read again after some minutes: another instance may have noted it."""
        kept = self._known.get(name)
        if kept is None or abs(now - kept[0]) >= CLOSES_KEPT:
            try:
                ended = self._ended.read(name)
            except Unreadable:  # its closes are unknown
                log.exception("the last ended session cannot be read", extra={"calendar": name})
                ended = None
            kept = self._known[name] = (now, ended)
        return kept[1]

    def _worked_out(
        self, account: Account, ledger: Ledger, risk: RiskState, now: datetime
    ) -> tuple[Measures, dict[str, Any]]:
        """Return the measures, and all of them as plain data."""
        desk = self._desk
        worth = self._marker.worth([account], now)[account.account]
        positions, each, greeks = worth.positions, worth.watched, worth.greeks
        factors = self._factors.latest(account.calendar)
        deltas = {
            underlying: float("nan") if net.delta is None else float(net.delta)
            for underlying, net in greeks.underlyings.items()
        }
        ended = self._last_ended(account.calendar, now)
        closes = ended.closes if ended else {}
        known = dict.fromkeys(factors.symbols if factors else ())
        book = book_of(desk.columns, desk.terms, each, worth.volatility, known, now)
        found = measure(each, book, factors, deltas, closes, now)
        contracts = (valued.position.instrument for valued in positions)
        market = market_of(contracts, desk.marks.marks, account, now, factors)
        shown = {
            "session": account.sessions.session_of(now).isoformat(),
            "currency": account.currency,
            "pnl_day": risk.shown.get("pnl_day"),
            "tail": shown_tail(found.tail),
            "window": _window(found),
            "stress": {
                "grid": shown_grid(found),
                "scenarios": judged(found.book, found.played, each, ledger, risk, market),
            },
            "correlation": shown_correlation(found),
            "market": shown_market(found),
            "quality": data_quality(account, positions, desk.marks, each.rate, ended, now),
        }
        return found, shown


def _window(found: Measures) -> dict[str, Any]:
    """Return which sessions the figures are of, and what is not in them."""
    moves = found.moves
    if moves is None or not moves.sessions:
        return {"from": None, "to": None, "sessions": 0, "dropped": 0, "without_history": []}
    asked = {found.account.measures.index, found.account.measures.volatility_index}
    return {
        "from": moves.sessions[0].isoformat(),
        "to": moves.sessions[-1].isoformat(),
        "sessions": len(moves.sessions),
        "dropped": moves.dropped,
        "without_history": list(moves.excluded),
        "volatility_moves": found.account.measures.volatility_index
        if found.account.measures.volatility_index in moves.symbols
        else None,
        "index": found.account.measures.index if found.account.measures.index in moves.symbols else None,
        "asked": sorted(symbol for symbol in asked if symbol),
    }


def _change(
    account: Account,
    ledger: Ledger,
    risk: RiskState,
    worked_out: tuple[Measures, dict[str, Any]],
    old: Measured | None,
    inputs: str,
    session: date,
    now: datetime,
    cause: str,
) -> Change[Measured]:
    found, shown = worked_out
    before = old or Measured(account.account, now, ended=session)
    revision = before.revision + 1
    notices, unknown = _notices(account, found, shown, risk, before.standing)
    alerts, standing = notices_alerts(
        account.account, notices, before.standing, unknown, f"{cause}.m{revision}", now
    )
    at_end = before.ended is not None and before.ended < session
    keep = at_end or before.kept_at is None or now - before.kept_at >= KEPT_EVERY
    state = replace(
        before,
        as_of=now,
        revision=revision,
        inputs=inputs,
        standing=standing,
        ended=session,
        kept_at=now if keep else before.kept_at,
        shown=shown,
    )
    effects = [alert_effect(alert) for alert in alerts]
    rows = metric_rows(account, shown, risk, revision, now) if keep else []
    if at_end:
        rows.append(_session_end_row(account, ledger, risk, before, session, now))
    if rows:
        effects.append(history_effect(account.account, rows))
    return Change(state, effects)


def _notices(
    account: Account,
    found: Measures,
    shown: Mapping[str, Any],
    risk: RiskState,
    standing: Mapping[str, str],
) -> tuple[list[Condition], set[str]]:
    """Return what stands, and the kinds that could not be looked at."""
    asked, unknown = account.measures, set()
    notices = volatility_spikes(found.days, asked.spike, standing)
    if not found.days and account.sessions.is_open(found.at):
        unknown.add(SPIKE)
    if isinstance(found.changes, Unknown):
        unknown.add(CORRELATION)
    else:
        notices += correlation_notices(found.changes)
    near = (shown["stress"]["grid"] or {}).get("near")
    equity = amount(risk.shown.get("equity"))
    if near is None or equity is None:
        unknown |= {EXPOSURE} if found.book.legs.names else set()
    else:
        scenario = f"Spot {near['spot']:+.0%} with volatility x{near['volatility']:g}"
        loss = amount(near["pnl"])
        loss = None if loss is None else -loss
        notices += exposure_notices(loss, equity, asked.exposure_warning, scenario, standing)
    return notices, unknown


def metric_rows(
    account: Account, shown: Mapping[str, Any], risk: RiskState, revision: int, now: datetime
) -> list[HistoryRow]:
    """Return the rows of the metric history: what is unknown is null, and why is in `detail`."""
    session, currency = shown["session"], account.currency
    greeks = (risk.shown.get("greeks") or {}).get("account") or {}
    figure = next((f for f in shown["tail"]["figures"] if f["var"] is not None), None)
    near = (shown["stress"]["grid"] or {}).get("near") or {}
    why = {"unknown": shown["tail"]["unknown"]}
    values: list[tuple[str, Any, str, str, dict[str, Any]]] = [
        ("equity", risk.shown.get("equity"), currency, "", {}),
        ("pnl_day", risk.shown.get("pnl_day"), currency, "", {}),
        ("gross_exposure", risk.shown.get("gross_exposure"), currency, "", {}),
        *(
            (f"net_{name}", greeks.get(name), currency, "", {})
            for name in ("delta", "gamma", "theta", "vega")
        ),
        ("beta_delta", greeks.get("beta_delta"), currency, account.measures.index or "", {}),
        ("var", figure and figure["var"], currency, figure["method"] if figure else "", figure or why),
        ("es", figure and figure["es"], currency, figure["method"] if figure else "", figure or why),
        ("near_stress", near.get("pnl"), currency, "", near),
    ]
    if shown["market"]["volatility_index"]:
        level = shown["market"]["level"]
        name = shown["market"]["volatility_index"]
        values.append(("volatility_index", None if level is None else str(level), "%", name, {}))
    rows = []
    for metric, value, unit, method, detail in values:
        facts = {
            "account": account.account,
            "session": session,
            "metric": metric,
            "object": "account",
            "value": None if value is None else Decimal(value),
            "unit": unit,
            "method": method,
            "as_of": now,
        }
        event_id = digest("metric", account.account, metric, str(revision), utc_text(now))
        rows.append(table_row("metrics", event_id, facts, detail))
    return rows


def _session_end_row(
    account: Account, ledger: Ledger, risk: RiskState, before: Measured, session: date, now: datetime
) -> HistoryRow:
    """Return the account as its session ended: equity as it was first seen after the close. Where the next session has begun
    by then, the P&L is that of the last look before.
    """
    same = risk.shown.get("session") == session.isoformat()
    last = before.shown.get("pnl_day") if before.shown.get("session") == session.isoformat() else None
    days = [(currency, day) for (of, currency), day in ledger.days.items() if of == session]
    own = [day.net for currency, day in days if currency == account.currency]
    realised = sum(own, Decimal(0)) if len(own) == len(days) else None
    facts = {
        "account": account.account,
        "session": session,
        "currency": account.currency,
        "equity": amount(risk.shown.get("equity")),
        "realised_day": amount(risk.shown.get("realised_day")) if same else realised,
        "unrealised": amount(risk.shown.get("unrealised")),
        "pnl_day": amount(risk.shown.get("pnl_day") if same else last),
        "gross_exposure": amount(risk.shown.get("gross_exposure")),
        "level": risk.level.value,
        "as_of": now,
        "kind": "session_end",
    }
    event_id = digest("session_end", account.account, session.isoformat())
    return table_row("account_snapshots", event_id, facts, risk.shown)
