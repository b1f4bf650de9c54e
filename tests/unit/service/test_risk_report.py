"""The risk report: what it holds, that its advice has the effect it says, and a page that loads nothing."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.ledger.book import Book
from stopline.model.times import utc_text
from stopline.ports import Unavailable
from stopline.risk.american import american_price
from stopline.rules.limits.figures import Valued, figures
from stopline.rules.limits.registry import Level, Reading, readings
from stopline.rules.limits.track import Sample, Track
from stopline.rules.reduction.advice import advise
from stopline.runtime.embedded import Embedded
from stopline.service.evaluation.track_state import decode_track, encode_track
from stopline.service.report.activity import activity_facts
from stopline.service.report.page import report_page
from stopline.service.report.performance import performance_facts

from ..make import NOON, account, at, equity, fill, trade
from .test_greeks import put
from .test_measure_risk import OPEN, SHORT, YEARS, desk_with, history, noon_prices, prices, sweep
from .world import World


@pytest.fixture(scope="module")
def desk() -> Embedded:
    made = desk_with(history(), index="SPY", exposure_warning="5")
    prices(made, OPEN, **noon_prices())
    sweep(made, OPEN)
    return made


def run(desk: Embedded, *args: Any) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], obj=lambda: desk.app)


def report(desk: Embedded) -> dict[str, Any]:
    done = run(desk, "report", "demo")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_report_holds_every_part(desk: Embedded) -> None:
    """R2.13, R7.7: portfolio, positions (long, short, exposure), strategies, alerts, market, recommendations."""
    found = report(desk)
    assert found["portfolio"]["open_positions"] == 3
    assert Decimal(found["portfolio"]["long_value"]) > 0 > Decimal(found["portfolio"]["short_value"])
    assert {p["side"] for p in found["positions"]} == {"long", "short"}
    assert found["strategies"].keys() == {"credit", "default"}
    assert found["measures"]["market"]["regime"] == "normal"
    assert found["alerts"]
    assert found["history"]["metrics"]["equity"]
    assert any(f["var"] for f in found["measures"]["tail"]["figures"])
    parts = [Decimal(p["es_contribution"]) for p in found["positions"]]
    es = next(f["es"] for f in found["measures"]["tail"]["figures"] if f["es"])
    assert sum(parts) == pytest.approx(Decimal(es), abs=Decimal("0.05"))


def test_exposure_and_concentration_add_up_by_every_cut(desk: Embedded) -> None:
    """R2.7, R2.13: gross, net, long and short by underlying, currency and strategy; concentration at the worst payoff."""
    found = report(desk)
    cuts, values = found["exposure"], [Decimal(one["value"]) for one in found["positions"]]
    assert Decimal(cuts["account"]["gross"]) == pytest.approx(sum(map(abs, values)), abs=Decimal("0.02"))
    assert Decimal(cuts["account"]["net"]) == pytest.approx(sum(values), abs=Decimal("0.02"))
    for kind in ("underlyings", "currencies", "strategies"):
        for part in ("gross", "net", "long", "short"):
            whole = sum(Decimal(one[part]) for one in cuts[kind].values())
            assert whole == pytest.approx(Decimal(cuts["account"][part]), abs=Decimal("0.05"))
    assert set(cuts["underlyings"]) == {"SPXW", "SPY"}
    assert set(cuts["strategies"]) == {"credit", "default"}
    sizes = {name: float(text) for name, text in cuts["worst_payoff"].items()}
    shares = [size / sum(sizes.values()) for size in sizes.values()]
    known = cuts["concentration"]
    assert known["herfindahl"] == pytest.approx(sum(share**2 for share in shares), abs=1e-6)
    assert (known["top"], known["top_share"]) == (
        max(sizes, key=sizes.__getitem__),
        pytest.approx(max(shares), abs=1e-6),
    )
    assert "Concentration at the worst payoff" in report_page(found)


def test_parts_of_var_and_es_add_up_and_are_on_the_page(desk: Embedded) -> None:
    """R2.7: component figures of each underlying; marginal ones are a hundredth of them for 1 % more."""
    found = report(desk)
    tail = found["measures"]["tail"]
    best = next(f for f in tail["figures"] if f["var"])
    for part, whole in (("component_var", "var"), ("component_es", "es")):
        total = sum(Decimal(one[part]) for one in tail["underlyings"].values())
        assert total == pytest.approx(Decimal(best[whole]), abs=Decimal("0.05"))
    assert "Part of VaR" in report_page(found)
    before = {name: {"component_es": one["component_es"]} for name, one in tail["underlyings"].items()}
    old = {**found, "measures": {**found["measures"], "tail": {**tail, "underlyings": before}}}
    assert "unknown" in report_page(old), "a document of before has fewer parts"


def test_the_page_says_which_factors_the_variance_is_from(desk: Embedded) -> None:
    """R2.9, R2.13: the parts of the index, the volatility index and the rest are on the page, and add up."""
    found = report(desk)
    tail = found["measures"]["tail"]
    split = tail["decomposition"]
    parts = [one["share"] for one in split["factors"].values()]
    assert sum(parts) + split["residual"] == pytest.approx(1, abs=1e-5)
    page = report_page(found)
    assert "Variance from" in page
    assert all(f"{part:.1%}" in page for part in (*parts, split["residual"]))
    without = {**tail, "decomposition": {"unknown": "no <index>"}}
    page = report_page({**found, "measures": {**found["measures"], "tail": without}})
    assert "unknown</span>, no &lt;index&gt;" in page


def session_ends(made: Mapping[str, str | None], paid_in: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return rows as the sweep writes them: P&L by session, and deposits, on 100,000."""
    rows, equity = [], Decimal(100_000)
    for day, pnl in made.items():
        equity += paid_in.get(day, 0) + Decimal(pnl or 0)
        known = None if pnl is None else Decimal(pnl)
        facts = {
            "session": date.fromisoformat(day),
            "kind": "session_end",
            "equity": equity,
            "pnl_day": known,
        }
        rows.append(facts)
    return rows


MADE = {  # over a weekend; an unknown end on the 17th, nothing noted on the 18th
    "2026-11-13": "1000",
    "2026-11-16": "-2020",
    "2026-11-17": None,
    "2026-11-19": "1489.80",
}


def test_the_performance_of_an_account_is_that_of_its_sessions() -> None:
    """R2.7, R7.3: Sharpe and the others of the account itself; a deposit is no profit, and no gap is bridged."""
    found = performance_facts(session_ends(MADE, {"2026-11-19": 50_000}), account())
    returns = [0.01, -0.02, 0.01]
    values = found["values"]
    assert (found["sessions"], found["without"]) == (3, 2)
    assert (found["from"], found["to"], found["periods"]) == ("2026-11-13", "2026-11-19", 252)
    spread = math.sqrt(sum(r * r for r in returns) / 2)
    assert values["sharpe"] == pytest.approx(0, abs=1e-6)
    assert values["volatility"] == pytest.approx(spread * math.sqrt(252), abs=1e-6)
    assert values["total_return"] == pytest.approx(1.01 * 0.98 * 1.01 - 1, abs=1e-6)
    assert values["max_drawdown"] == pytest.approx(0.02, abs=1e-6)
    assert values["win_rate"] == pytest.approx(2 / 3, abs=1e-6)
    assert values["var"] is None
    assert found["unknown"]["var"]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({}, "no session has ended"),
        ({"2026-11-13": None}, "no session has ended"),
        ({"2026-11-13": "0", "2026-11-16": "-100001"}, "more than all was lost in the session 2026-11-16"),
        ({"2026-11-13": "-100001", "2026-11-16": "5"}, "more than all was lost in the session 2026-11-16"),
    ],
)
def test_without_a_session_the_performance_says_why_it_is_unknown(
    desk: Embedded, made: dict[str, str | None], why: str
) -> None:
    found = performance_facts(session_ends(made, {}), account())
    assert why in found["unknown"][""]
    assert found["values"] == {}
    assert f"unknown: {found['unknown']['']}" in report_page({**report(desk), "performance": found})


def test_the_page_shows_the_performance_that_the_sweep_has_noted() -> None:
    """R2.13: the ends of sessions are its returns."""
    desk = desk_with(history())
    for day in (18, 19):
        noon = OPEN.replace(day=day)
        prices(desk, noon, **noon_prices(spx=6050.0 - day))
        sweep(desk, noon)
        sweep(desk, noon.replace(hour=21, minute=1))
    found = report(desk)["performance"]
    assert (found["sessions"], found["without"], found["to"]) == (2, 0, "2026-11-19")
    page = report_page(report(desk))
    assert "2 sessions from 2026-11-18 to 2026-11-19" in page
    assert f"{found['values']['total_return']:.2%}" in page


def test_turnover_and_holding_periods_of_a_day_are_those_of_its_fills() -> None:
    """R2.7: by hand: 100 x 50 bought and 100 x 51 sold after 2 h, 20 x 10 sold short and bought back at 9 in 30 s; a
    purchase of the day before yesterday counts nothing.
    """
    made = account()
    fills = [
        trade(-2 * 86_400, 5, 100, instrument=equity("OLD")),
        trade(0, 100, 50),
        trade(10, -20, 10, instrument=equity("QQQ")),
        trade(40, 20, 9, instrument=equity("QQQ")),
        trade(7200, -100, 51),
    ]
    book = Book("demo").with_fills(fills, made.sessions.session_of, lambda *_: [], at(7200))

    def rate(currency: str) -> Decimal | None:
        return Decimal(1) if currency == "USD" else None

    numbers = replace(
        figures(made, book, [], rate, None, None, at(7300)),
        track=Track(samples=(Sample(at(0), Decimal(0)), Sample(at(7200), Decimal(100)))),
    )
    found = activity_facts(book.trades(), numbers, rate, at(7300))
    assert (found["bought"], found["sold"], found["closed_trades"]) == ("5180", "5300", 2)
    assert found["turnover"] == pytest.approx((5180 + 5300) / 2 / 100_050, abs=1e-6)
    assert found["held_seconds"] == {"mean": 3615, "median": 3615, "shortest": 30, "longest": 7200}
    assert activity_facts((), replace(numbers, track=Track()), rate, at(0))["turnover"] is None


def test_turnover_is_of_the_equity_that_was_there_before_a_withdrawal() -> None:
    """R2.7: by hand: 10,000 bought and sold with 100,000; of four hourly samples one is of the 10,000 that are left."""
    made, track = account(), Track()
    fills = [trade(1, 100, 100), trade(2, -100, 100)]
    out = fill("D-1", kind="FLOW", fee="90000", quantity="0", price="0", executed_at=at(9000))
    for second, more in ((10, []), (3700, []), (7400, []), (11100, [out])):
        fills += more
        book = Book("demo").with_fills(fills, made.sessions.session_of, lambda *_: [], at(second))
        numbers = figures(made, book, [], lambda _: Decimal(1), None, None, at(second), track)
        track = decode_track(orjson.loads(orjson.dumps(encode_track(numbers.track))))
        numbers = replace(numbers, track=track)
    since = [sample for sample in track.samples if sample.at >= at(0)]
    assert [sample.flown for sample in since] == [-90_000, -90_000, -90_000, 0]
    found = activity_facts(
        book.trades(), replace(numbers, track=Track(samples=tuple(since))), lambda _: Decimal(1), at(11200)
    )
    assert found["turnover"] == pytest.approx(10_000 / 77_500, abs=1e-6)


def test_without_a_history_the_report_says_so_and_shows_what_is_remembered(
    desk: Embedded, tmp_path: Path
) -> None:
    """R2.13, R2.9: a stack without BigQuery: 30 days are unknown, P&L of the last 7 days is not."""

    class Gone:
        def read(self, _table: str, _where: object) -> list[dict[str, Any]]:
            raise Unavailable("no BigQuery: <the> emulators run without it")

    reporter = desk.app.reporter
    kept, reporter._history = reporter._history, Gone()  # type: ignore[assignment]
    try:
        found = reporter.report(desk.app.accounts.require("demo"))
    finally:
        reporter._history = kept
    assert found["history"]["unknown"] == "no BigQuery: <the> emulators run without it"
    assert found["history"]["metrics"] == {}
    state = desk.app.risk_states.read("demo")
    assert state is not None
    kept_samples = [(utc_text(at), round(total, 2)) for at, total, *_ in state.track.samples]
    assert [(at, Decimal(total)) for at, total in found["history"]["recent"]] == kept_samples
    text = report_page(found)
    assert "unknown: no BigQuery: &lt;the&gt; emulators" in text
    assert "P&amp;L since the account began, last 7 days" in text


def test_the_near_stress_is_advised_by_what_each_group_loses_in_it(desk: Embedded) -> None:
    """R2.13: the position, the action, and the effect on the limit."""
    found = report(desk)
    [advice] = [one for one in found["recommendations"] if one["limit"] == "exposure_warning"]
    equity = Decimal(found["portfolio"]["equity"])
    groups: dict[str, Decimal] = {}
    for one in found["positions"]:
        name = "SPXW options (credit)" if "SPXW" in one["symbol"] else "SPY (default)"
        groups[name] = groups.get(name, Decimal(0)) + Decimal(one["near_stress"])
    total = Decimal(found["measures"]["stress"]["grid"]["near"]["pnl"])
    assert sum(groups.values()) == pytest.approx(total, abs=Decimal("0.05"))
    worst = min(groups, key=lambda name: groups[name])
    assert advice["position"] == worst
    assert Decimal(advice["after"]) == pytest.approx(
        (groups[worst] - total) * 100 / equity, abs=Decimal("0.02")
    )


def valued(quantities: Mapping[str, tuple[int, float]], world: World) -> Any:
    """Return (account, book, positions) of shares at marks."""
    from ..make import equity

    world.open_account()
    fills = [
        trade(-n - 1, units, 100, instrument=equity(symbol))
        for n, (symbol, (units, _)) in enumerate(quantities.items())
    ]
    world.instance()[0].recorder.record(fills, "m-1")
    book = world.book()
    assert book is not None
    positions = []
    for position in book.open_positions():
        mark = Decimal(str(quantities[position.instrument.symbol][1]))
        value = position.quantity * mark
        positions.append(Valued(position, mark, value, value - position.cost))
    return account(), book, positions


def test_advice_has_the_effect_that_it_tells() -> None:
    """R2.13: the limit is read again with the reduced positions, by the account's own figures."""
    owner, book, positions = valued({"AAPL": (300, 110.0), "MSFT": (90, 105.0)}, World())

    def read(held: Sequence[Valued]) -> dict[str, Reading]:
        numbers = figures(owner, book, held, lambda _: Decimal(1), None, None, NOON)
        return {r.key: r for r in readings(numbers, {})}

    found = {one.limit: one for one in advise(positions, read) if one.object.startswith("AAPL")}
    equity = Decimal(100_000) + 300 * 10 + 90 * 5
    one = found["max_position_value"]
    assert one.position == "AAPL (default)"
    assert one.before == round(Decimal(33_000) / equity * 100, 6)
    assert one.action.startswith("Close 75% of AAPL (default): 225 of 300 AAPL")
    assert one.after == round(Decimal(75 * 110) / equity * 100, 6)
    assert one.after < one.threshold


def test_advice_names_the_part_that_whole_units_make() -> None:
    """R2.13: half of 3 shares is 2 of 3, which is 67 %, and three quarters are all of them."""
    owner, book, positions = valued({"AAPL": (3, 11_000.0)}, World())

    def read(limit: str) -> Any:
        def at(held: Sequence[Valued]) -> dict[str, Reading]:
            numbers = figures(owner, book, held, lambda _: Decimal(1), None, None, NOON)
            found = [r for r in readings(numbers, {}) if r.limit.name == "max_position_value"]
            return {r.key: replace(r, threshold=Decimal(limit)) for r in found}

        return at

    assert [one.action for one in advise(positions, read("10"))] == [
        "Close 67% of AAPL (default): 2 of 3 AAPL"
    ]
    assert [one.action for one in advise(positions, read("5"))] == ["Close AAPL (default): 3 of 3 AAPL"]


def test_no_trouble_is_no_advice_and_lost_money_does_not_come_back() -> None:
    owner, book, positions = valued({"AAPL": (10, 100.0)}, World())

    def read(level: Level) -> Any:
        numbers = figures(owner, book, positions, lambda _: Decimal(1), None, None, NOON)
        [loss] = [r for r in readings(numbers, {}) if r.limit.name == "max_daily_loss"]
        made = Reading(loss.limit, "account", Decimal(4), loss.threshold, level)
        return lambda _held: {made.key: made}

    assert advise(positions, read(Level.OK)) == []
    [advice] = advise(positions, read(Level.BREACH))
    assert (advice.after, advice.action) == (None, "Open nothing that adds to it")


class Loads(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "link", "iframe", "object", "embed", "form", "a"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]
        self.depth += tag not in ("meta", "rect", "polyline", "circle")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag not in ("meta", "rect", "polyline", "circle")


def test_the_page_loads_nothing_and_is_well_formed(desk: Embedded, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    done = run(desk, "report", "demo", "--html", path)
    assert done.exit_code == 0, done.stderr
    text = path.read_text("utf-8")
    parser = Loads()
    parser.feed(text)
    assert (parser.found, parser.depth) == ([], 0)
    assert "url(" not in text
    assert 'name="viewport"' in text
    assert text.count("<svg") >= 5
    for part in ("Value at risk", "What to do", "Scenarios", "Correlation", "30 days", SHORT.symbol):
        assert part in text


def rendered(browser: str, page: str, width: int, dark: bool, folder: Path) -> list[str]:
    """Return [width, width of what is in it, ground, most that a table of cards hides] of a page as a browser lays it out,
    in a frame: a window is never as narrow as a phone.
    """
    script = (
        "<script>const e=document.documentElement;parent.document.title=[innerWidth,e.scrollWidth,"
        "getComputedStyle(document.body).backgroundColor,Math.max(...[...document.querySelectorAll('.scroll')]"
        ".filter(s=>s.querySelector('.cards-if-narrow')).map(s=>s.scrollWidth-s.clientWidth))].join('|')</script></body>"
    )
    frame = escape(page.replace("</body>", script))
    probe = folder / f"probe-{dark}.html"
    probe.write_text(
        f'<!doctype html><iframe style="width:{width}px;height:900px" srcdoc="{frame}"></iframe>', "utf-8"
    )
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", probe.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"<title>([^<]*)</title>", done.stdout)
    assert found is not None, done.stderr[-500:]
    return found[1].split("|")


def test_the_page_fits_a_phone_and_follows_the_dark(desk: Embedded, tmp_path: Path) -> None:
    """R2.13, R8.1: at 390 px nothing is wider than the screen, whatever the names."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium to render the page with")
    found = report(desk)
    found["positions"] += [{**found["positions"][0], "symbol": "A" * 60, "strategy": "b" * 60}]
    page = report_page(found)
    light, dark = (rendered(browser, page, 390, night, tmp_path) for night in (False, True))
    assert [ground for _, _, ground, _ in (light, dark)] == ["rgb(255, 255, 255)", "rgb(21, 25, 29)"]
    assert all(inner == "390" and int(content) <= 390 for inner, content, _, _ in (light, dark))
    assert [hidden for _, _, _, hidden in (light, dark)] == ["0", "0"]  # no figure is cut off


def test_hostile_text_is_text_on_the_page(desk: Embedded) -> None:
    """B69."""
    found = report(desk)
    evil = '<img src=x onerror="alert(1)">'
    found["alerts"][0]["summary"] = found["recommendations"][0]["action"] = evil
    found["positions"][0]["symbol"] = found["limits"][0]["object"] = evil
    parser = Loads()
    parser.feed(report_page(found))
    assert parser.found == []


def test_an_account_that_nobody_measured_has_a_report_that_says_unknown() -> None:
    """I7."""
    bare = Embedded(OPEN)
    bare.app.account_writer.create(account(), "ann")
    found = report(bare)
    assert found["measures"] is None
    page = report_page(found)
    assert "no sweep has measured this account yet" in page
    assert run(bare, "report", "nobody").exit_code == 2


def test_unknown_figures_read_unknown_and_never_zero() -> None:
    """I7."""
    stale = desk_with(None)
    sweep(stale, OPEN)
    page = report_page(report(stale))
    cards = re.findall(r'<div class="card"><span>([^<]*)</span><b>(.*?)</b>', page)
    values = dict(cards)
    for name in ("Equity", "Unrealised", "VaR", "Market"):
        assert "unknown" in values[name], name


def test_stress_of_a_file_is_the_value_of_its_positions_there(desk: Embedded, tmp_path: Path) -> None:
    """R2.9: `stopline stress FILE`, by a second pricing."""
    path = tmp_path / "book.csv"
    days = YEARS * 365
    path.write_text(
        "symbol,quantity,right,spot,strike,days,iv\n"
        f"short put,-3,P,6050,6000,{days!r},0.2\nshares,50,,605,,,\n"
    )
    found = json.loads(run(desk, "stress", path, "--json").stdout)
    row, column = found["spot"].index(-0.1), found["volatility"].index(2.0)
    spot = 6050 * 0.9
    expected = -300 * (put(spot, 6000, YEARS, 0.4) - put(6050, 6000, YEARS, 0.2)) - 50 * 60.5
    assert float(found["pnl"][row][column]) == pytest.approx(expected, abs=0.01)
    assert "P&L if spot and volatility move" in run(desk, "stress", path).stdout


def test_stress_of_american_options_knows_that_they_may_be_exercised(desk: Embedded, tmp_path: Path) -> None:
    """R2.9, R2.10: a put deep in the money is worth what exercise brings, before and after."""
    path = tmp_path / "book.csv"
    path.write_text("quantity,right,spot,strike,days,iv\n1,P,100,160,365,0.2\n1,C,100,60,365,0.2\n")
    terms = ("--rate", "0.05", "--dividend-yield", "0.03")
    plain, early = (
        json.loads(run(desk, "stress", path, *terms, *more, "--json").stdout)["pnl"]
        for more in ((), ("--american",))
    )
    moved = (np.array([80.0, 100.0]), np.array([160.0, 160.0]), 1.0, 0.2, 0.05, 0.03)
    put_after, put_now = american_price(False, *moved)
    call_after, call_now = american_price(True, moved[0], np.array([60.0, 60.0]), *moved[2:])
    found = json.loads(run(desk, "stress", path, *terms, "--american", "--json").stdout)
    row, column = found["spot"].index(-0.2), found["volatility"].index(1.0)
    expected = 100 * float(put_after - put_now + call_after - call_now)
    assert float(early[row][column]) == pytest.approx(expected, abs=0.01)
    assert float(plain[row][column]) != pytest.approx(expected, abs=10)


def test_a_file_is_played_at_its_closes_pins_and_past_days(desk: Embedded, tmp_path: Path) -> None:
    """R2.9: gap, pin and named days for a file too, by a second pricing."""
    path, days = tmp_path / "book.csv", tmp_path / "days.csv"
    left = YEARS * 365
    path.write_text(
        "symbol,underlying,quantity,right,spot,close,strike,days,iv\n"
        f"short put,SPX,-3,P,6050,6100,6000,{left!r},0.2\nlong put,SPX,3,P,6050,,5900,{left!r},0.2\nSPY,SPY,50,,605,,,,\n"
    )
    days.write_text("day,SPX,volatility\nvolmageddon,-0.041,1.156\n")
    found = json.loads(run(desk, "stress", path, "--days", days, "--json").stdout)
    pnl = {one["name"]: float(one["pnl"]) for one in found["scenarios"]}

    def spread(spot: float, volatility: float, years: float) -> float:
        return 300 * (put(spot, 5900, years, volatility) - put(spot, 6000, years, volatility))

    now = spread(6050, 0.2, YEARS)
    assert pnl["gap to the prior close (without 1 of 2 symbols)"] == pytest.approx(
        spread(6100, 0.2, YEARS) - now, abs=0.01
    )
    [pin] = [name for name in pnl if name.startswith("SPX pins at 6000")]
    assert pnl[pin] == pytest.approx(-now, abs=0.01)  # worth nothing there, at its expiry
    day = "volmageddon (without 1 of 2 symbols)"
    assert pnl[day] == pytest.approx(spread(6050 * 0.959, 0.2 * 2.156, YEARS) - now, abs=0.01)
    assert pnl["spot -10%"] == pytest.approx(spread(5445, 0.2, YEARS) - now - 50 * 60.5, abs=0.01)
    text = run(desk, "stress", path, "--days", days).stdout
    assert "volmageddon" in text
    assert "margin after" not in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("day,SPX\nx,-1.5\n", "line 2: SPX: must be a move such as -0.04, was '-1.5'"),
        ("day,SPX\nx,nan\n", "line 2: SPX: must be a move"),
        ("SPX\n-0.1\n", "there is no column 'day'"),
    ],
)
def test_a_bad_file_of_days_is_one_line(desk: Embedded, tmp_path: Path, text: str, problem: str) -> None:
    book, days = tmp_path / "book.csv", tmp_path / "days.csv"
    book.write_text("quantity,spot\n1,100\n")
    days.write_text(text)
    done = run(desk, "stress", book, "--days", days)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_stress_of_an_account_is_that_of_its_last_sweep(desk: Embedded) -> None:
    found = json.loads(run(desk, "stress", "--account", "demo", "--json").stdout)
    shown = desk.app.measured.read("demo")
    assert shown is not None
    assert found["pnl"] == shown.shown["stress"]["grid"]["pnl"]
    text = run(desk, "stress", "--account", "demo").stdout
    assert "limit down" in text
    assert "if all correlations were one" in text


def test_a_gap_tells_what_it_is_without_and_is_none_without_a_close(desk: Embedded, tmp_path: Path) -> None:
    """R2.9, I7: what has no close does not stay where it is without a word."""
    path = tmp_path / "book.csv"
    path.write_text("underlying,quantity,spot,close\nSPX,1,6050,6000\nSPY,10,605,\n")
    found = json.loads(run(desk, "stress", path, "--json").stdout)["scenarios"]
    [gap] = [one for one in found if one["name"].startswith("gap")]
    assert gap == {"name": "gap to the prior close (without 1 of 2 symbols)", "pnl": "-50.00"}
    blind = desk_with(None)
    prices(blind, OPEN, **noon_prices())
    sweep(blind, OPEN)
    state = blind.app.measured.read("demo")
    assert state is not None
    assert not [s for s in state.shown["stress"]["scenarios"] if s["name"].startswith("gap")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("day,SPXW,volatility\nbad,-0.04,1\n", "bad: no column of it is one of SPX, SPY"),
        ("day,SPX\nbad,\n", "bad: no column of it is one of SPX, SPY"),
        ("day,SPX\nbad,-0.1\nbad,0.1\n", "line 3: day: 'bad' is there already"),
        ("day,SPX\n", "there are no days in it"),
    ],
)
def test_days_that_would_say_nothing_of_the_book_are_refused(
    desk: Embedded, tmp_path: Path, text: str, problem: str
) -> None:
    """I7: a head that is written otherwise must not read as a quiet day."""
    path, days = tmp_path / "book.csv", tmp_path / "days.csv"
    path.write_text("underlying,quantity,spot\nSPX,1,6050\nSPY,10,605\n")
    days.write_text(text)
    done = run(desk, "stress", path, "--days", days)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quantity,spot\n", "there are no positions in it"),
        ("quantity,spot\nx,1\n", "line 2: quantity: must be a number, was 'x'"),
        ("quantity,spot\n1,-1\n", "line 2: spot: must not be below 0"),
        ("quantity,spot,right\n1,1,Z\n", "line 2: right: must be C, P or empty"),
        ("quantity,spot,right,strike,days\n1,1,C,1,1\n", "line 2: volatility: is missing"),
        ("spot\n1\n", "there is no column 'quantity'"),
        ("quantity,spot,underlying\n1,5,X\n1,6,X\n", "line 3: spot: must be 5 as in line 2, was 6"),
        ("quantity,spot\n1e308,1e308\n", "line 2: quantity: must be at most 1e+12"),
    ],
)
def test_a_bad_file_of_positions_is_one_line(desk: Embedded, tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "book.csv"
    path.write_text(text)
    done = run(desk, "stress", path)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert run(desk, "stress").exit_code == 2


def test_a_report_looks_at_new_marks(desk: Embedded) -> None:
    before = report(desk)["portfolio"]["equity"]
    prices(desk, OPEN + timedelta(seconds=30), **noon_prices(spy=615.0))
    assert Decimal(report(desk)["portfolio"]["equity"]) - Decimal(before) == 500
