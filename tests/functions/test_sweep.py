"""The function `sweep` as it is served: pushed messages in, factors, measures, metric rows and alerts out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from stopline.model.account import Account
from stopline.model.calendars import calendar
from stopline.model.fill import Fill
from stopline.model.prices import PriceBatch, Quote
from stopline.service.history.factors import decode, factors_path
from stopline.service.history.load_closes import load_closes

from .conftest import Serve, Served, raw_fill

LAST_CLOSE = datetime(2026, 11, 18, 21, 4, tzinfo=UTC)
OPEN = datetime(2026, 11, 19, 17, tzinfo=UTC)
DAYS = 90
LAST = {"SPY": 600.0, "QQQ": 500.0, "VIX": 20.0}


def closes() -> dict[str, list[float]]:
    """Closes of 91 sessions, the last of 18 November."""
    shocks = np.random.default_rng(11).normal(0, 0.01, (DAYS, 3)) * [1.0, 1.2, 5.0]
    shocks[:, 1] += shocks[:, 0]
    walks = np.vstack([np.ones(3), np.cumprod(1 + shocks, axis=0)])
    return {s: (walks[:, n] / walks[-1, n] * LAST[s]).tolist() for n, s in enumerate(LAST)}


def sessions(count: int) -> list[date]:
    found = [date(2026, 11, 18)]
    while len(found) < count:
        found.append(calendar("XNYS").previous_session(found[-1]))
    return found[::-1]


def swept(served: Served, kind: str, moment: datetime) -> None:
    served.world.clock.set(moment)
    message = {"type": "stopline.sweep.v1", "kind": kind}
    answer = served.push(message, message_id=f"s-{kind}-{moment.timestamp()}")
    assert (answer.status_code, served.quarantined()) == (204, [])


def priced(served: Served, moment: datetime, **last: float) -> None:
    served.world.clock.set(moment)
    served.world.app.marker.mark(PriceBatch("feed", moment, {s: Quote(p) for s, p in last.items()}, ()))


def test_a_day_of_sweeps_makes_factors_once_and_measures_from_them(serve: Serve) -> None:
    """R2.7, R2.9, issue 5.7: the round through the deployed function's own path, over the store, bus and history."""
    served = serve("sweep")
    app = served.world.app
    served.world.clock.set(LAST_CLOSE - timedelta(hours=1))
    settings = {
        "measures": {"index": "SPY", "exposure_warning": "4"},
        "limits": {"max_position_value": {"limit": "90"}},
    }
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000", **settings}
    app.account_writer.create(Account.model_validate(facts), "ann")
    held = [("E-1", "SPY", 120, "600"), ("E-2", "QQQ", 40, "500")]
    for fill_id, symbol, units, price in held:
        contract = {"symbol": symbol, "kind": "equity", "currency": "USD"}
        more = {"instrument": contract, "quantity": str(units), "price": price}
        app.recorder.record(
            [Fill.model_validate(raw_fill(fill_id, executed_at="2026-11-18T19:00:00Z", **more))], fill_id
        )
    days, history = sessions(DAYS + 1), closes()
    table = {
        (s, d): round(Decimal(p), 6)
        for s, column in history.items()
        for d, p in zip(days, column, strict=True)
    }
    assert load_closes(served.world.history, served.world.clock, "XNYS", table) == []
    priced(served, LAST_CLOSE - timedelta(minutes=5), **LAST)

    swept(served, "end_of_day", LAST_CLOSE)
    document = served.world.store.get(factors_path("XNYS", date(2026, 11, 18)))
    assert document is not None
    factors = decode(document.data)
    returns = np.array([np.diff(history[s]) / history[s][:-1] for s in ("QQQ", "SPY", "VIX")])
    assert factors.covariance is not None
    assert factors.covariance.symbols == ("QQQ", "SPY", "VIX")
    np.testing.assert_allclose(factors.covariance.matrix, np.cov(returns[:, -60:]), rtol=1e-4)
    swept(served, "end_of_day", LAST_CLOSE + timedelta(minutes=1))
    again = served.world.store.get(factors_path("XNYS", date(2026, 11, 18)))
    assert again is not None
    assert again.version == document.version  # once a session

    priced(served, OPEN, **LAST)
    swept(served, "risk", OPEN)
    measured = app.measured.read("demo")
    assert measured is not None
    shown = measured.shown
    pnl = sorted(120 * 600 * returns[1] + 40 * 500 * returns[0])
    [figure] = [f for f in shown["tail"]["figures"] if f["method"] == "historical"]
    assert (figure["n"], float(figure["var"])) == (DAYS, pytest.approx(-pnl[4], abs=1.0))
    by_name = {one["name"]: one for one in shown["stress"]["scenarios"]}
    assert float(by_name["spot -10%"]["margin_after"]) == pytest.approx(0.5 * 92_000 * 0.9, abs=0.01)
    assert shown["correlation"]["deviation"] is not None
    served.world.run()  # what the function published goes to the history and the alert function
    rows = {row["metric"] for row in served.world.history.rows["metrics"]}
    assert {"var", "es", "net_delta", "near_stress"} <= rows
    alerts = {row["kind"] for row in served.world.history.latest("alerts")}
    assert "exposure_warning" in alerts
