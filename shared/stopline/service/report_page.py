"""The risk report as one HTML page: it loads nothing, its charts are inline SVG, and it fits a phone.

Every text out of the report is escaped here. What is UNKNOWN reads "unknown", never 0.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

UNKNOWN = "unknown"
_LEVELS = {"ok": "ok", "warn": "warn", "breach": "breach", "unknown": "unknown"}
_STYLE = """
:root{--ink:#1b1f24;--soft:#5b6570;--line:#d9dee3;--paper:#fff;--good:#1b7f4d;--bad:#b3261e;--warn:#8a5a00;--fill:#f5f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#a3adb8;--line:#38414a;--paper:#15191d;--good:#58c08a;
--bad:#ff8a80;--warn:#f0b74d;--fill:#1e2429}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:16px}h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 8px}
p{margin:4px 0}.soft{color:var(--soft)}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{padding:5px 10px 5px 0;text-align:left;
border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}th{color:var(--soft);font-weight:500}
td.wide{white-space:normal;min-width:16em}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:8px;margin-top:14px}
.card{background:var(--fill);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.card b{display:block;font-size:18px;font-variant-numeric:tabular-nums}.card span{color:var(--soft);font-size:13px}
.good{color:var(--good)}.bad,.breach{color:var(--bad)}.warn{color:var(--warn)}.unknown{color:var(--soft);font-style:italic}
.breach,.warn{font-weight:600}svg{display:block;max-width:100%;height:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
.advice{border-left:4px solid var(--bad);background:var(--fill);padding:8px 12px;margin:8px 0;border-radius:0 8px 8px 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:8px 28px}
"""


def report_page(report: Mapping[str, Any]) -> str:
    """Return the page of a report made by `Reporter.report`."""
    measures = report["measures"]
    parts = [
        _head(report),
        _cards(report),
        _section("What to do", _advice(report["recommendations"])),
        _section("Limits", _limits(report["limits"])),
        _section("Positions", _positions(report["positions"], report["currency"])),
        _section("Strategies", _strategies(report["strategies"])),
        _section("Greeks", _greeks(report["greeks"])),
    ]
    if measures is None:
        parts.append(
            _section("Risk", '<p class="unknown">unknown: no sweep has measured this account yet</p>')
        )
    else:
        parts += [
            _section("Value at risk", _tail(measures)),
            _section("Stress: P&amp;L if spot and volatility move", _grid(measures["stress"]["grid"])),
            _section("Scenarios", _scenarios(measures["stress"]["scenarios"])),
            _section("Market", _market(measures["market"])),
            _section("Correlation", _correlation(measures["correlation"])),
            _section("Data quality", _quality(measures["quality"])),
        ]
    parts += [
        _section("30 days", _history(report["history"], report["currency"])),
        _section("Alerts", _alerts(report["alerts"])),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Risk report {escape(report['account'])}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _head(report: Mapping[str, Any]) -> str:
    return (
        f"<h1>{escape(report['account'])}: risk report</h1>"
        f'<p class="soft">{escape(report["at"])} UTC, session {escape(report["session"])}, amounts in '
        f"{escape(report['currency'])}, profile {escape(report['profile'])}</p>"
    )


def _cards(report: Mapping[str, Any]) -> str:
    portfolio, measures = report["portfolio"], report["measures"]
    figure = next((f for f in _figures(measures) if f["var"] is not None), None)
    near = (measures or {}).get("stress", {}).get("grid") or {}
    market = (measures or {}).get("market", {})
    regime = market.get("regime")
    cards = [
        ("Equity", _money(portfolio["equity"])),
        ("P&amp;L of the day", _signed(portfolio["pnl_day"])),
        ("Unrealised", _signed(portfolio["unrealised"])),
        ("Long / short", f"{_money(portfolio['long_value'])} / {_money(portfolio['short_value'])}"),
        ("Exposure", _money(portfolio["gross_exposure"])),
        (
            f"VaR {figure['confidence']:.0%}, 1 session" if figure else "VaR",
            _money(figure["var"] if figure else None),
        ),
        ("Worst near stress", _signed((near.get("near") or {}).get("pnl"))),
        ("Market", escape(regime) if regime else _unknown()),
    ]
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><span>{title}</span><b>{value}</b></div>' for title, value in cards)
        + "</div>"
    )


def _figures(measures: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return (measures or {}).get("tail", {}).get("figures", [])  # type: ignore[no-any-return]


def _advice(items: Sequence[Mapping[str, Any]]) -> str:
    if not items:
        return '<p class="good">Nothing: no limit warns.</p>'
    return "".join(
        f'<div class="advice"><b>{escape(one["action"])}</b><p>{escape(one["effect"])}</p>'
        f'<p class="soft">{escape(one["limit"].replace("_", " "))} of {escape(one["object"])}</p></div>'
        for one in items
    )


def _limits(items: Sequence[Mapping[str, Any]]) -> str:
    order = {"breach": 0, "warn": 1, "unknown": 2, "ok": 3}
    rows = [
        (
            escape(one["limit"].replace("_", " ")),
            escape(one["object"]),
            _number(one["current"]) + escape(one["unit"] if one["current"] is not None else ""),
            _number(one["threshold"]) + escape(one["unit"]),
            _bar(one),
            f'<span class="{_LEVELS.get(one["level"], "unknown")}">{escape(one["level"])}</span>',
        )
        for one in sorted(items, key=lambda one: (order.get(one["level"], 2), one["limit"], one["object"]))
    ]
    return _table(("Limit", "Of", ">Now", ">Limit", "", "Level"), rows)


def _bar(one: Mapping[str, Any]) -> str:
    """Draw how much of a limit is used."""
    if one["current"] is None or not float(one["threshold"]):
        return ""
    share = max(min(float(one["current"]) / float(one["threshold"]), 1.0), 0.0)
    colour = {"breach": "var(--bad)", "warn": "var(--warn)"}.get(one["level"], "var(--good)")
    return (
        '<svg width="90" height="10" role="img" aria-label="share of the limit">'
        '<rect width="90" height="10" rx="3" fill="var(--line)"/>'
        f'<rect width="{90 * share:.1f}" height="10" rx="3" fill="{colour}"/></svg>'
    )


def _positions(items: Sequence[Mapping[str, Any]], currency: str) -> str:
    if not items:
        return '<p class="soft">No open positions.</p>'
    rows = [
        (
            escape(one["symbol"]),
            escape(one["strategy"]),
            escape(one["side"]),
            _number(one["quantity"]),
            _number(one["average_price"]),
            _number(one["mark"]),
            _money(one["value"]),
            _signed(one["unrealised"]),
            _money(one["es_contribution"]),
            _signed(one["near_stress"]),
        )
        for one in items
    ]
    heads = ("Symbol", "Strategy", "Side", ">Units", ">Average", ">Mark", f">Value {escape(currency)}")
    return _table((*heads, ">Unrealised", ">Part of ES", ">Near stress"), rows)


def _strategies(items: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(name),
            str(one["positions"]),
            _money(one["value"]),
            _signed(one["unrealised"]),
            _money(one["delta"]),
            _money(one["theta"]),
            _money(one["vega"]),
        )
        for name, one in items.items()
    ]
    return _table(
        ("Strategy", ">Positions", ">Value", ">Unrealised", ">Delta", ">Theta a day", ">Vega"), rows
    )


def _greeks(greeks: Mapping[str, Any] | None) -> str:
    if greeks is None:
        return '<p class="soft">No open positions.</p>'
    names = ("delta", "gamma", "theta", "vega", "beta_delta")
    groups = [("account", greeks["account"]), *greeks["underlyings"].items()]
    rows = [
        (
            escape(name),
            _number(one["units"]) if one["units"] is not None else "",
            *(_money(one[n]) for n in names),
        )
        for name, one in groups
    ]
    heads = ("Of", ">Units", ">Delta", ">Gamma 1 %", ">Theta a day", ">Vega 1 %", ">Beta-weighted")
    return _table(heads, rows)


def _tail(measures: Mapping[str, Any]) -> str:
    tail, window = measures["tail"], measures["window"]
    if tail["unknown"] and not tail["figures"]:
        return f'<p class="unknown">unknown: {escape(tail["unknown"])}</p>'
    rows = []
    for one in tail["figures"]:
        if one["var"] is None:
            rows.append((escape(one["method"]), _unknown(), _unknown(), "", "", escape(one["unknown"])))
            continue
        excluded = ", ".join(one["excluded"]) or "nothing"
        rows.append(
            (
                escape(one["method"]),
                _money(one["var"]),
                _money(one["es"]),
                str(one["n"]),
                f"{one['age_days']:g}",
                f"without {escape(excluded)}",
            )
        )
    notes = f"Sessions {window['from']} to {window['to']}, {window['dropped']} dropped for holes. "
    notes += (
        f"Volatilities move with {escape(window['volatility_moves'])}."
        if window["volatility_moves"]
        else "Volatilities stay: their index has no history."
    )
    legs = sorted(((name, float(part)) for name, part in tail["legs"].items()), key=lambda one: -abs(one[1]))
    chart = _bars("Parts of the expected shortfall, by position", legs[:10])
    heads = ("Method", ">VaR", ">ES", ">Sessions", ">Age, days", "?Without")
    return _table(heads, rows) + f'<p class="soft">{notes}</p>' + chart


def _bars(title: str, items: Sequence[tuple[str, float]]) -> str:
    """Draw bars to the right for losses and to the left for what makes money in the tail."""
    if not items:
        return ""
    most = max(abs(value) for _, value in items) or 1.0
    height = 22 * len(items) + 4
    rows = []
    for place, (name, value) in enumerate(items):
        width = 150 * abs(value) / most
        left = 330 if value >= 0 else 330 - width
        colour = "var(--bad)" if value >= 0 else "var(--good)"
        rows.append(
            f'<text x="0" y="{22 * place + 16}">{escape(name[:24])}</text>'
            f'<rect x="{left:.1f}" y="{22 * place + 5}" width="{width:.1f}" height="14" fill="{colour}"/>'
            f'<text x="{330 + (width if value >= 0 else 0) + 6:.1f}" y="{22 * place + 16}">{value:,.0f}</text>'
        )
    return (
        f'<p class="soft">{title}</p><svg viewBox="0 0 560 {height}" width="560" role="img" '
        f'aria-label="{escape(title)}">{"".join(rows)}</svg>'
    )


def _grid(grid: Mapping[str, Any] | None) -> str:
    if grid is None:
        return '<p class="unknown">unknown: no position can be priced</p>'
    most = max((abs(float(x)) for row in grid["pnl"] for x in row if x is not None), default=1.0) or 1.0
    heads = ("Spot", *(f">vol x{factor:g}" for factor in grid["volatility"]))
    rows = [
        (f"{shock:+.0%}", *(_heat(x, most) for x in row))
        for shock, row in zip(grid["spot"], grid["pnl"], strict=True)
    ]
    note = f"Without {escape(', '.join(grid['excluded']))}." if grid["excluded"] else ""
    return _table(heads, rows) + f'<p class="soft">{note}</p>'


def _heat(text: str | None, most: float) -> str:
    if text is None:
        return _unknown()
    value = float(text)
    colour = "179,38,30" if value < 0 else "27,127,77"
    return (
        f'<span style="display:block;margin:-5px 0;padding:5px 6px;background:rgba({colour},'
        f'{0.55 * abs(value) / most:.2f})">{value:,.0f}</span>'
    )


def _scenarios(items: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(one["name"]),
            _signed(one["pnl"]),
            escape(one.get("worst_position") or ""),
            _money(one.get("margin_after")),
            _money(one.get("equity_after")) if "equity_after" in one else "",
            escape(", ".join(key.replace("|", " of ").replace("_", " ") for key in one["breaches"]) or "none")
            if "breaches" in one
            else "",
        )
        for one in sorted(items, key=lambda one: float(one["pnl"]))
    ]
    return _table(
        (
            "Scenario",
            ">P&amp;L",
            "Loses most",
            ">Margin after",
            ">Equity after",
            "?Limits that it would break",
        ),
        rows,
    )


def _market(market: Mapping[str, Any]) -> str:
    level, name = market["level"], market["volatility_index"]
    text = f"{escape(name)} {level:g}: {escape(market['regime'])}" if level is not None else _unknown()
    rows = [
        (
            escape(symbol),
            f"{one['move']:+.2%}",
            f"{one['deviation']:.2%}",
            f"{one['deviations']:.1f}" if one["deviations"] is not None else "",
            f"{one['volatility']:.1%}",
        )
        for symbol, one in market["moves"].items()
    ]
    heads = ("Symbol", ">Since its close", ">Deviation a day", ">Times", ">Volatility a year")
    return f"<p>Volatility: {text}</p>" + (_table(heads, rows) if rows else "")


def _correlation(found: Mapping[str, Any]) -> str:
    if found["unknown"]:
        return f'<p class="unknown">unknown: {escape(found["unknown"])}</p>'
    rows = [
        (escape(symbol), *(_heat_share(x) for x in row))
        for symbol, row in zip(found["symbols"], found["matrix"], strict=True)
    ]
    table = _table(("", *(f">{escape(symbol)}" for symbol in found["symbols"])), rows)
    changes = "".join(
        f"<p>{escape(c['first'])} and {escape(c['second'])}: {c['before']:.2f} before, {c['after']:.2f} in 20 sessions</p>"
        for c in found["changes"] or []
    )
    spread = found["deviation"]
    whole = (
        f'<p class="soft">Deviation of a day: {_money(spread["now"])}; if all correlations were one '
        f"{_money(spread['one'])}; if all went against the book {_money(spread['against'])}.</p>"
        if spread
        else ""
    )
    return table + changes + whole


def _heat_share(value: float) -> str:
    colour = "179,38,30" if value < 0 else "27,127,77"
    return (
        f'<span style="display:block;margin:-5px 0;padding:5px 6px;background:rgba({colour},'
        f'{0.5 * abs(value):.2f})">{value:.2f}</span>'
    )


def _quality(found: Mapping[str, Any]) -> str:
    names = {
        "missing": "no price",
        "stale": "stale",
        "suspect": "price waits for a second reading",
        "wide": "wide quote",
        "no_close": "no close in the last session",
    }
    rows = [(text, escape(", ".join(found[name]))) for name, text in names.items() if found[name]]
    return (
        _table(("Trouble", "?Symbols"), rows)
        if rows
        else '<p class="good">All prices are there and young.</p>'
    )


def _history(history: Mapping[str, Any], currency: str) -> str:
    if history["unknown"]:
        return f'<p class="unknown">unknown: {escape(history["unknown"])}</p>'
    charts = [
        _line(name, [(day, float(v)) for day, v in values.items() if v is not None])
        for name, values in history["metrics"].items()
    ]
    drawn = [chart for chart in charts if chart]
    return f'<div class="pair">{"".join(drawn)}</div>' if drawn else '<p class="soft">No rows yet.</p>'


def _line(name: str, points: Sequence[tuple[str, float]]) -> str:
    """Draw one metric over its sessions, with its first, last, lowest and highest value."""
    if not points:
        return ""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span, step = (high - low) or 1.0, 300 / max(len(points) - 1, 1)
    places = [(step * n, 60 - 50 * (value - low) / span) for n, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    title = name.replace("_", " ")
    return (
        f'<figure style="margin:0"><figcaption class="soft">{escape(title)}: {values[-1]:,.2f} on {escape(points[-1][0])}, '
        f"{low:,.2f} to {high:,.2f} in {len(points)} sessions</figcaption>"
        f'<svg viewBox="-4 0 312 66" width="312" role="img" aria-label="{escape(title)}">'
        f'<polyline points="{path}" fill="none" stroke="var(--ink)" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--ink)"/></svg></figure>'
    )


def _alerts(items: Sequence[Mapping[str, Any]]) -> str:
    if not items:
        return '<p class="soft">None.</p>'
    rows = [
        (
            escape(str(one.get("raised_at") or "")),
            escape(str(one.get("severity") or "")),
            escape(str(one.get("summary") or one.get("kind") or "")),
            escape(str(one.get("status") or "")),
        )
        for one in items
    ]
    return _table(("When", "Severity", "?What", "Status"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table. A head that begins with > is of numbers, with ? of text that may break."""
    kinds = ["n" if head[:1] == ">" else "wide" if head[:1] == "?" else "" for head in heads]
    mark: Callable[[str], str] = lambda kind: f' class="{kind}"' if kind else ""  # noqa: E731
    top = "".join(
        f"<th{mark(kind)}>{head.lstrip('>?')}</th>" for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{mark(kind)}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _unknown() -> str:
    return f'<span class="unknown">{UNKNOWN}</span>'


def _money(text: str | None) -> str:
    return _unknown() if text is None else f"{float(text):,.2f}"


def _signed(text: str | None) -> str:
    if text is None:
        return _unknown()
    value = float(text)
    return f'<span class="{"bad" if value < 0 else "good"}">{value:+,.2f}</span>'


def _number(text: str | None) -> str:
    return _unknown() if text is None else escape(f"{float(text):,.4f}".rstrip("0").rstrip("."))
