"""The sweep's measures: VaR by a second pricing of every scenario, stress, notices once, history rows, UNKNOWN said why."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from stopline.model.calendars import calendar
from stopline.model.errors import Transient
from stopline.model.instrument import Instrument
from stopline.model.messages import SweepKind
from stopline.model.times import utc_text
from stopline.risk.factors import at_todays_volatility
from stopline.runtime.embedded import Embedded
from stopline.service.history.load_closes import load_closes
from stopline.service.measuring.measured import Measured, MeasuredCodec
from stopline.service.orders.size_order import SizeRequest

from ..make import account, option, raw_fill
from .test_greeks import put

NYSE = calendar("XNYS")
OPEN = datetime(2026, 11, 18, 17, tzinfo=UTC)
LAST_CLOSE = datetime(2026, 11, 17, 21, 4, tzinfo=UTC)
EXPIRY = date(2026, 12, 18)
YEARS = (datetime(2026, 12, 18, 21, tzinfo=UTC) - OPEN).total_seconds() / 86400 / 365
SHORT, LONG = option(6000, expiry=EXPIRY), option(5900, expiry=EXPIRY)
DAYS = 120


def call(spot: float, strike: float, years: float, volatility: float) -> float:
    """By parity, without interest."""
    return put(spot, strike, years, volatility) + spot - strike


def prices(desk: Embedded, moment: datetime, **last: float) -> None:
    desk.clock.set(moment)
    body = {
        "type": "stopline.prices.v1",
        "as_of": utc_text(moment),
        "symbols": list(last),
        "last": list(last.values()),
    }
    desk.publish("prices", body)
    desk.run()


def sweep(desk: Embedded, moment: datetime, kind: SweepKind = SweepKind.RISK) -> None:
    desk.clock.set(moment)
    desk.sweep(kind)
    desk.run()
    assert desk.bus.faults == []


def history(seed: int = 5, days: int = DAYS) -> dict[str, list[float]]:
    """Closes of SPXW, SPY and VIX, oldest first, the last of 17 November; falls come with rises of VIX."""
    rng = np.random.default_rng(seed)
    spx, spy, vix = [6000.0], [600.0], [18.0]
    for shock in rng.standard_normal(days).tolist():
        other = float(rng.standard_normal())
        spx.append(spx[-1] * (1 + 0.008 * shock))
        spy.append(spy[-1] * (1 + 0.008 * shock + 0.001 * other))
        vix.append(max(vix[-1] * (1 - 0.04 * shock + 0.02 * other), 9.0))
    ends = {"SPXW": (spx, 6040.0), "SPY": (spy, 604.0), "VIX": (vix, 18.0)}
    return {symbol: [price / column[-1] * end for price in column] for symbol, (column, end) in ends.items()}


def sessions(count: int, newest: date = date(2026, 11, 17)) -> list[date]:
    found = [newest]
    while len(found) < count:
        found.append(NYSE.previous_session(found[-1]))
    return found[::-1]


def desk_with(closes: dict[str, list[float]] | None, positions: bool = True, **measures: Any) -> Embedded:
    desk = Embedded(LAST_CLOSE - timedelta(hours=2))
    desk.app.account_writer.create(account(measures=measures), "ann")
    if positions:
        moment = LAST_CLOSE - timedelta(hours=2)
        for n, facts in enumerate(
            [
                {"side": "SELL", "quantity": 3, "price": 90, "instrument": SHORT, "strategy": "credit"},
                {"side": "BUY", "quantity": 3, "price": 60, "instrument": LONG, "strategy": "credit"},
                {"side": "BUY", "quantity": 50, "price": 600},
            ]
        ):
            desk.publish("fills", raw_fill(f"E-{n}", executed_at=moment, **facts))  # type: ignore[arg-type]
        desk.run()
    if closes is not None:
        days = sessions(len(closes["SPXW"]))
        table = {
            (symbol, day): round(Decimal(price), 6)
            for symbol, column in closes.items()
            for day, price in zip(days, column, strict=True)
        }
        assert load_closes(desk.history, desk.clock, "XNYS", table) == []
        last = {symbol: column[-1] for symbol, column in closes.items()}
        prices(desk, LAST_CLOSE - timedelta(minutes=5), **last)
    sweep(desk, LAST_CLOSE, SweepKind.END_OF_DAY)
    return desk


def noon_prices(spx: float = 6050.0, spy: float = 605.0, vix: float = 18.0) -> dict[str, float]:
    return {
        "SPXW": spx,
        "SPY": spy,
        "VIX": vix,
        SHORT.symbol: put(spx, 6000, YEARS, 0.2),
        LONG.symbol: put(spx, 5900, YEARS, 0.2),
    }


def measured(desk: Embedded) -> dict[str, Any]:
    state = desk.app.measured.read("demo")
    assert state is not None
    return dict(state.shown)


def figure(shown: dict[str, Any], method: str) -> dict[str, Any]:
    [found] = [f for f in shown["tail"]["figures"] if f["method"] == method]
    return found  # type: ignore[no-any-return]


def book(spx: float, spy: float, volatility: float, years: float) -> float:
    return 300 * (put(spx, 5900, years, volatility) - put(spx, 6000, years, volatility)) + 50 * spy


def pnl_of(spx: float, spy: float, vix: float, days: int = 1) -> float:
    """What today's book makes under joint moves, so many days later: written again."""
    after = book(6050 * (1 + spx), 605 * (1 + spy), 0.2 * (1 + vix), YEARS - days / 365)
    return after - book(6050, 605, 0.2, YEARS)


def returns(closes: dict[str, list[float]]) -> dict[str, list[float]]:
    return {s: [b / a - 1 for a, b in itertools.pairwise(c)] for s, c in closes.items()}


def test_var_and_es_are_those_of_every_past_day_played_on_todays_book() -> None:
    """R2.7: full revaluation under the joint moves of underlyings and volatility, by a second pricing."""
    closes = history()
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    shown = measured(desk)
    moves = returns(closes)
    pnl = sorted(pnl_of(a, b, c) for a, b, c in zip(moves["SPXW"], moves["SPY"], moves["VIX"], strict=True))
    historical = figure(shown, "historical")
    assert historical["n"] == DAYS
    assert float(historical["var"]) == pytest.approx(-pnl[5], rel=1e-4)  # the sixth of 120 at 95 %
    assert float(historical["es"]) == pytest.approx(-sum(pnl[:6]) / 6, rel=1e-4)
    assert (historical["confidence"], historical["age_days"], historical["excluded"]) == (0.95, 1.0, [])
    legs = {name: float(part) for name, part in shown["tail"]["legs"].items()}
    assert sum(legs.values()) == pytest.approx(float(figure(shown, "filtered")["es"]), abs=0.05)
    assert shown["window"]["volatility_moves"] == "VIX"


def test_the_filtered_figure_plays_past_days_at_todays_volatility() -> None:
    """R2.7: EWMA-filtered, by a second reckoning."""
    closes = history()
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)

    def scaled(column: list[float]) -> list[float]:
        variance = sum(x * x for x in column[:20]) / 20
        forecasts = []
        for x in column[20:]:
            forecasts.append(math.sqrt(variance))
            variance = 0.94 * variance + 0.06 * x * x
        return [x / s * math.sqrt(variance) for x, s in zip(column[20:], forecasts, strict=True)]

    columns = [scaled(column) for column in returns(closes).values()]
    pnl = sorted(pnl_of(*day) for day in zip(*columns, strict=True))
    found = figure(measured(desk), "filtered")
    assert found["n"] == DAYS - 20
    assert float(found["var"]) == pytest.approx(-pnl[4], rel=1e-3)
    assert float(found["es"]) == pytest.approx(-sum(pnl[:5]) / 5, rel=1e-3)


def test_each_underlying_tells_what_it_adds_to_the_risk() -> None:
    """R2.7: components add up to the ES; incremental is the book less the book without it, by a second reckoning."""
    closes = history()
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    tail = measured(desk)["tail"]
    parts = tail["underlyings"]
    es = float(figure({"tail": tail}, "filtered")["es"])
    assert sum(float(one["component_es"]) for one in parts.values()) == pytest.approx(es, abs=0.05)
    moves = np.array([returns(closes)[symbol] for symbol in ("SPXW", "SPY", "VIX")]).T
    scaled = at_todays_volatility(moves)
    spread = sorted(pnl_of(*map(float, day)) - 50 * 605 * float(day[1]) for day in scaled)
    whole = sorted(pnl_of(*map(float, day)) for day in scaled)
    assert float(parts["SPY"]["incremental_var"]) == pytest.approx(spread[4] - whole[4], abs=0.5)
    assert float(parts["SPY"]["incremental_es"]) == pytest.approx(
        (sum(spread[:5]) - sum(whole[:5])) / 5, abs=0.5
    )


def test_a_longer_horizon_takes_the_compounded_moves_of_overlapping_sessions() -> None:
    """R2.7: any horizon: 3 sessions, by a second reckoning; 120 sessions are 40 independent ones."""
    closes = history()
    desk = desk_with(closes, horizon=3, paths=2000)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    shown = measured(desk)
    ends = [closes[symbol] for symbol in ("SPXW", "SPY", "VIX")]
    pnl = sorted(pnl_of(*(c[n + 3] / c[n] - 1 for c in ends), days=3) for n in range(DAYS - 2))
    historical = figure(shown, "historical")
    assert (historical["n"], historical["n_effective"], historical["horizon_sessions"]) == (118, 118 / 3, 3)
    assert float(historical["var"]) == pytest.approx(-pnl[5], rel=1e-4)  # the sixth of 118 at 95 %
    es = -(sum(pnl[:5]) + 0.9 * pnl[5]) / 5.9
    assert float(historical["es"]) == pytest.approx(es, rel=1e-4)
    legs = {name: float(part) for name, part in shown["tail"]["legs"].items()}
    assert sum(legs.values()) == pytest.approx(float(figure(shown, "filtered")["es"]), abs=0.05)

    moves = np.array([returns(closes)[symbol] for symbol in ("SPXW", "SPY", "VIX")])
    draws = np.random.default_rng(99).multivariate_normal(np.zeros(3), 3 * np.cov(moves), 4000)
    drawn = sorted(pnl_of(*map(float, row), days=3) for row in draws)
    simulated = figure(shown, "monte-carlo")
    assert simulated["n"] == 2000
    assert float(simulated["var"]) == pytest.approx(
        -drawn[199], rel=0.08
    )  # other draws, the same distribution


def test_a_horizon_that_leaves_too_few_independent_sessions_is_unknown() -> None:
    desk = desk_with(history(), horizon=10)  # 12 independent ones, and 95 % needs 20
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    found = figure(measured(desk), "historical")
    assert found["var"] is None
    assert "20 independent" in found["unknown"]


def test_the_grid_and_the_scenarios_are_the_books_value_there() -> None:
    """R2.9: spot and volatility grid, gap, pin, worst sessions, and what the account would look like after."""
    closes = history()
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    stress = measured(desk)["stress"]
    row, column = stress["grid"]["spot"].index(-0.05), stress["grid"]["volatility"].index(1.5)
    expected = book(6050 * 0.95, 605 * 0.95, 0.3, YEARS) - book(6050, 605, 0.2, YEARS)
    assert float(stress["grid"]["pnl"][row][column]) == pytest.approx(expected, abs=0.5)
    assert stress["grid"]["near"]["spot"] == -0.05
    by_name = {one["name"]: one for one in stress["scenarios"]}
    pinned = by_name["SPXW pins at 6000 on 2026-12-18"]
    value = 300 * (put(6000, 5900, 1e-9, 0.2) - 0.0) + 50 * 605 - book(6050, 605, 0.2, YEARS)
    assert float(pinned["pnl"]) == pytest.approx(value, abs=0.5)
    back = by_name["gap to the prior close"]
    gap = book(closes["SPXW"][-1], closes["SPY"][-1], 0.2, YEARS) - book(6050, 605, 0.2, YEARS)
    assert float(back["pnl"]) == pytest.approx(gap, abs=0.5)
    worst = by_name["spot -10%"]
    assert worst["worst_position"] == f"credit:{SHORT.symbol}"
    assert "max_daily_loss|account" in worst["breaches"]
    assert float(worst["margin_after"]) == pytest.approx(30_000 + 0.5 * 50 * 605 * 0.9, abs=0.01)
    near = by_name["worst near: spot -5%, volatility x0.75"]
    assert near["pnl"] == stress["grid"]["near"]["pnl"]
    far = next(one for name, one in by_name.items() if name.startswith("worst of the grid: spot -20%"))
    assert far["pnl"] == stress["grid"]["worst"]["pnl"]
    moves = returns(closes)
    played = [pnl_of(a, b, c) for a, b, c in zip(moves["SPXW"], moves["SPY"], moves["VIX"], strict=True)]
    day = sessions(DAYS + 1)[1:][int(np.argmin(played))]
    assert f"worst of the window: {day.isoformat()}" in by_name


def test_the_margin_of_a_naked_call_grows_with_the_underlying() -> None:
    """R2.9: Regulation T at the scenario's prices; without the underlying's price it is unknown, never 0."""
    naked = option(6300, "C", expiry=EXPIRY)
    desk = desk_with(None)
    sold = raw_fill("E-9", executed_at=OPEN, side="SELL", quantity=1, price=40, instrument=naked)
    desk.clock.set(OPEN)
    desk.publish("fills", sold)
    prices(desk, OPEN, **noon_prices(), **{naked.symbol: call(6050, 6300, YEARS, 0.2)})
    sweep(desk, OPEN)
    by_name = {one["name"]: one for one in measured(desk)["stress"]["scenarios"]}
    for name, move in (("spot +10%", 0.1), ("spot -2%", -0.02)):
        spot = 6050 * (1 + move)
        premium = call(spot, 6300, YEARS, 0.2)
        bound = premium + max(0.15 * spot - max(6300 - spot, 0), 0.1 * spot)
        expected = 30_000 + 0.5 * 50 * 605 * (1 + move) + 100 * bound
        assert float(by_name[name]["margin_after"]) == pytest.approx(expected, abs=0.5)
    assert all("margin_after" in one for one in by_name.values())


def test_days_that_the_account_names_are_played() -> None:
    """R2.9: named historical days from data that the user loads."""
    closes = history()
    desk = desk_with(closes, days={"volmageddon": "2018-02-05"})
    old = {("SPXW", date(2018, 2, 2)): 2762.13, ("SPXW", date(2018, 2, 5)): 2648.94}
    old |= {("VIX", date(2018, 2, 2)): 17.31, ("VIX", date(2018, 2, 5)): 37.32}
    load_closes(desk.history, desk.clock, "XNYS", {k: round(Decimal(v), 2) for k, v in old.items()})
    sweep(desk, LAST_CLOSE + timedelta(hours=1), SweepKind.END_OF_DAY)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    [found] = [s for s in measured(desk)["stress"]["scenarios"] if s["name"].startswith("volmageddon")]
    assert found["name"] == "volmageddon (2018-02-05) (without 1 of 2 symbols)"
    spot, volatility = 2648.94 / 2762.13 - 1, 37.32 / 17.31 - 1
    expected = book(6050 * (1 + spot), 605, 0.2 * (1 + volatility), YEARS) - book(6050, 605, 0.2, YEARS)
    assert float(found["pnl"]) == pytest.approx(expected, abs=0.5)


def test_too_little_history_is_unknown_and_says_why() -> None:
    """I7: never a number from too few days."""
    desk = desk_with({symbol: column[-12:] for symbol, column in history().items()})
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    for one in measured(desk)["tail"]["figures"]:
        assert one["var"] is one["es"] is None
        assert "11" in one["unknown"] or "needs" in one["unknown"]
    none = desk_with(None)
    prices(none, OPEN, **noon_prices())
    sweep(none, OPEN)
    shown = measured(none)
    assert "closes" in shown["tail"]["unknown"]
    assert shown["correlation"]["unknown"]
    assert float(shown["stress"]["grid"]["near"]["pnl"]) < 0  # needs no history


def test_a_leg_without_a_price_is_left_out_by_name_everywhere() -> None:
    """I7."""
    desk = desk_with(history())
    known = noon_prices()
    del known[LONG.symbol]
    prices(desk, OPEN, **known)
    sweep(desk, OPEN)
    shown = measured(desk)
    key = f"credit:{LONG.symbol}"
    assert figure(shown, "historical")["excluded"] == [key]
    assert shown["stress"]["grid"]["excluded"] == [key]
    assert all(s["without"] == [key] for s in shown["stress"]["scenarios"])
    assert shown["quality"]["missing"] == [LONG.symbol]
    assert shown["quality"]["no_rate"] == []


def alerts(desk: Embedded, kind: str) -> list[dict[str, Any]]:
    return [row for row in desk.history.latest("alerts") if row["kind"] == kind]


def test_a_volatility_spike_is_told_once_and_ends_when_the_day_calms_down() -> None:
    """R2.12."""
    desk = desk_with(history())
    close = history()["SPXW"][-1]
    prices(desk, OPEN, **noon_prices(spx=close * 0.93, spy=605.0))
    for minute in range(3):
        sweep(desk, OPEN + timedelta(seconds=50 * minute))
    assert {row["object"] for row in alerts(desk, "volatility_spike")} == {"SPXW"}
    told = [row for row in alerts(desk, "volatility_spike") if row["severity"] == "warning"]
    assert "-7.0% since its last close" in told[0]["summary"]
    later = OPEN + timedelta(minutes=5)
    prices(desk, later, **noon_prices(spx=close))
    sweep(desk, later)
    assert "Volatility spike of SPXW is over" in {row["summary"] for row in alerts(desk, "volatility_spike")}


def test_a_correlation_that_turns_is_told() -> None:
    """R2.12, R2.9: correlation updates."""
    closes = history()
    rng = np.random.default_rng(9)
    for n in range(len(closes["SPY"]) - 20, len(closes["SPY"])):
        own = closes["SPXW"][n] / closes["SPXW"][n - 1] - 1
        closes["SPY"][n] = closes["SPY"][n - 1] * (1 - own + 0.0005 * float(rng.standard_normal()))
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    sweep(desk, OPEN + timedelta(seconds=50))
    told = alerts(desk, "correlation_change")
    assert "SPXW and SPY" in {row["object"] for row in told}
    changes = measured(desk)["correlation"]["changes"]
    assert {(c["first"], c["second"]) for c in changes} >= {("SPXW", "SPY")}


def test_an_exposure_that_a_near_move_would_make_expensive_is_told() -> None:
    """R2.12: exposure warning."""
    desk = desk_with(history(), exposure_warning="5")
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    [told] = [row for row in alerts(desk, "exposure_warning") if row["severity"] == "warning"]
    assert "Spot -5% with volatility x" in told["summary"]
    calm = desk_with(history(), exposure_warning="90")
    prices(calm, OPEN, **noon_prices())
    sweep(calm, OPEN)
    assert alerts(calm, "exposure_warning") == []


def test_the_metric_history_has_a_row_of_each_metric_every_quarter_of_an_hour() -> None:
    """R2.9: 30 days of metric history; what is unknown is null."""
    desk = desk_with(history(), index="SPY")
    before = len(desk.history.rows["metrics"])
    for minute in (0, 1, 2, 16):
        moment = OPEN + timedelta(minutes=minute)
        prices(desk, moment, **noon_prices(spx=6050.0 + minute))
        sweep(desk, moment)
    rows = [row for row in desk.history.read("metrics", []) if row["as_of"] >= OPEN]
    assert len(desk.history.rows["metrics"]) > before
    assert {row["as_of"] for row in rows} == {OPEN, OPEN + timedelta(minutes=16)}
    by_name = {row["metric"]: row for row in rows if row["as_of"] == OPEN}
    assert {"equity", "var", "es", "net_delta", "beta_delta", "near_stress"} <= by_name.keys()
    assert by_name["var"]["method"] == "filtered"
    assert by_name["beta_delta"]["value"] is not None
    assert by_name["volatility_index"]["value"] == 18


def test_the_end_of_a_session_leaves_a_snapshot_of_the_account_once() -> None:
    """R7.4."""
    desk = desk_with(history())
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    for minute in (0, 1, 2):
        sweep(desk, datetime(2026, 11, 18, 21, minute, tzinfo=UTC))
    ends = [r for r in desk.history.read("account_snapshots", []) if r["kind"] == "session_end"]
    assert [(row["session"], row["equity"] is not None) for row in ends] == [(date(2026, 11, 18), True)]


def test_a_session_that_goes_over_into_the_next_leaves_its_profit_too() -> None:
    """R7.4: a market that never closes: the first look after midnight is of another day."""
    desk = Embedded(OPEN)
    desk.app.account_writer.create(account(calendar="24/7"), "ann")
    coin = Instrument.model_validate({"symbol": "BTCUSD", "kind": "crypto", "currency": "USD", "base": "BTC"})
    facts: dict[str, Any] = {"side": "BUY", "quantity": 2, "price": 100, "instrument": coin}
    desk.publish("fills", raw_fill("BTC", executed_at=OPEN, **facts))
    desk.run()
    sweep(desk, OPEN)
    midnight = datetime(2026, 11, 19, tzinfo=UTC)
    prices(desk, midnight - timedelta(seconds=40), BTCUSD=140.0)
    sweep(desk, midnight - timedelta(seconds=40))
    sweep(desk, midnight + timedelta(seconds=20))
    [end] = [r for r in desk.history.read("account_snapshots", []) if r["kind"] == "session_end"]
    assert (end["session"], end["pnl_day"], end["equity"]) == (date(2026, 11, 18), 80, 100_080)


def test_the_same_book_and_prices_are_not_measured_every_minute() -> None:
    desk = desk_with(history())
    prices(desk, OPEN, **noon_prices())
    sweep(desk, OPEN)
    first = desk.app.measured.read("demo")
    sweep(desk, OPEN + timedelta(seconds=30))
    assert desk.app.measured.read("demo") == first
    prices(desk, OPEN + timedelta(seconds=40), **noon_prices(spx=6040.0))
    sweep(desk, OPEN + timedelta(seconds=41))
    second = desk.app.measured.read("demo")
    assert first is not None
    assert second is not None
    assert second.revision == first.revision + 1


def test_an_account_without_positions_has_no_risk_and_no_alarm() -> None:
    desk = desk_with(history(), positions=False)
    state = desk.app.measured.read("demo")
    assert state is None or state.shown["tail"]["unknown"] == "there are no open positions"
    assert alerts(desk, "exposure_warning") == []


def test_measures_come_back_as_they_were_written_and_a_newer_version_is_refused() -> None:
    codec = MeasuredCodec()
    state = Measured(
        "demo", OPEN, 3, "x", {"volatility_spike|SPY": "2026"}, date(2026, 11, 17), OPEN, {"a": 1}
    )
    assert codec.decode(codec.encode(state)) == state
    with pytest.raises(Transient, match="schema 2"):
        codec.decode(codec.encode(state) | {"state": '{"schema": 2}'})


def test_a_size_by_volatility_takes_it_from_the_closes_whatever_the_profile() -> None:
    """R3.1, R3.2: without a number of the asker's; zero_dte has no limit that needs returns."""
    closes = history()
    desk = desk_with(closes)
    prices(desk, OPEN, **noon_prices())
    shares = {"symbol": "SPY", "kind": "equity", "currency": "USD"}
    legs = [{"instrument": shares, "side": "BUY", "limit_price": "605"}]
    yearly = float(np.std(returns(closes)["SPY"][-60:], ddof=1)) * math.sqrt(252)
    asked = {
        "order": {"legs": legs, "stop": "600"},
        "method": "risk_parity",
        "usual_volatility": str(round(yearly / 2, 6)),
    }
    facts = desk.app.order_sizer.size("demo", SizeRequest.model_validate(asked))
    assert (facts["wanted"], facts["capped_by"]) == ("16", "max_position_value")
    [step, _] = facts["steps"]
    assert (step["name"], float(step["factor"])) == ("volatility", pytest.approx(0.5, abs=1e-4))


def test_a_size_by_volatility_counts_an_option_by_its_delta_and_not_by_its_premium() -> None:
    """R3.1: a put with 20 % implied moves like delta x 6,050 x 100, whose volatility is told as 20 % a year. What cancels
    out, and what has no price, is refused with the reason.
    """
    desk = desk_with(history())
    prices(desk, OPEN, **noon_prices())

    def size(*legs: dict[str, Any]) -> dict[str, Any]:
        order = {"legs": list(legs), "lot": "0.001", "quantity": "0.001"}
        asked = {"order": order, "method": "risk_parity", "volatility": "0.2"}
        return desk.app.order_sizer.size("demo", SizeRequest.model_validate(asked))

    def leg(contract: Instrument, side: str) -> dict[str, Any]:
        return {"instrument": contract.model_dump(mode="json"), "side": side}

    delta = put(6050.5, 6000, YEARS, 0.2) - put(6049.5, 6000, YEARS, 0.2)
    state = desk.app.risk_states.read("demo")
    assert state is not None
    expected = 0.005 * float(state.shown["equity"]) / (-delta * 6050 * 100 * 0.2 / math.sqrt(252))
    assert float(size(leg(SHORT, "BUY"))["wanted"]) == pytest.approx(expected, abs=0.002)
    dark = option(5800, expiry=SHORT.expiry or OPEN.date())
    assert size(leg(dark, "BUY"))["reason"] == "an instrument has no usable price"
    near = option(5999, expiry=SHORT.expiry or OPEN.date())
    prices(desk, OPEN + timedelta(seconds=1), **{near.symbol: put(6050, 5999, YEARS, 0.2)})
    assert "its legs cancel out" in size(leg(SHORT, "BUY"), leg(near, "SELL"))["reason"]


def test_an_exchange_rate_that_is_missing_is_a_fault_of_the_data() -> None:
    """I7: what is held in euros has a price, and no value."""
    desk = desk_with(None)
    desk.clock.set(OPEN)
    euros = {"symbol": "SAP", "kind": "equity", "currency": "EUR"}
    facts: dict[str, Any] = {
        "side": "BUY",
        "quantity": 1,
        "price": 100,
        "instrument": Instrument.model_validate(euros),
    }
    desk.publish("fills", raw_fill("EUR", executed_at=OPEN, **facts))
    desk.run()
    prices(desk, OPEN, SAP=101.0, **noon_prices())
    sweep(desk, OPEN)
    assert measured(desk)["quality"]["no_rate"] == ["EURUSD"]
    later = OPEN + timedelta(minutes=1)
    prices(desk, later, SAP=101.0, EURUSD=1.1)
    sweep(desk, later)
    assert measured(desk)["quality"]["no_rate"] == []
