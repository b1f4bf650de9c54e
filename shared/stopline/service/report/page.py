"""The risk report as one HTML page: it loads nothing, its charts are inline SVG, and it fits a phone.

Every text out of the report is escaped where it enters the page. What is UNKNOWN reads "unknown", never 0.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stopline.service.report import risk as report_risk
from stopline.service.report.parts import UNKNOWN, duration, line, meter, money, number, signed, table

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
td.wide{white-space:normal;overflow-wrap:anywhere;min-width:12.5em}td.wide:last-child{min-width:16em}
td svg{margin-top:5px}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:8px;margin-top:14px}
.card{background:var(--fill);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.card b{display:block;overflow-wrap:anywhere;font-size:18px;font-variant-numeric:tabular-nums}
.card>span{color:var(--soft);font-size:13px}
.good{color:var(--good)}.bad,.breach{color:var(--bad)}.warn{color:var(--warn)}.unknown{color:var(--soft);font-style:italic}
.breach,.warn{font-weight:600}svg{display:block;max-width:100%;height:auto}
figure{margin:0}figcaption b{color:var(--ink);font-weight:500}
.heat{display:block;margin:-5px 0;padding:5px 6px}
.heat{background:color-mix(in srgb,var(--ground) calc(var(--part)*.55),transparent)}
.heat.loss{--ground:var(--bad)}.heat.gain{--ground:var(--good)}table.grid td{padding-right:2px}
.bars{display:grid;grid-template-columns:fit-content(40%) 1fr;gap:4px 10px;margin:4px 0;font-size:14px;max-width:680px}
.bars dt{overflow-wrap:anywhere}.bars dd{margin:0;display:grid;grid-template-columns:1fr 7em;gap:8px;align-items:center}
.bars svg{width:100%;height:12px}.bars span{text-align:right;font-variant-numeric:tabular-nums}
.advice{border-left:4px solid var(--bad);background:var(--fill);padding:8px 12px;margin:8px 0;border-radius:0 8px 8px 0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:8px 28px}
@media(max-width:700px){.cards-if-narrow tr:first-child{display:none}
.cards-if-narrow tr{display:grid;grid-template-columns:1fr 1fr;gap:0 16px;padding:7px 0;border-bottom:1px solid var(--line)}
.cards-if-narrow td{border:0;padding:1px 0;display:flex;justify-content:space-between;align-items:baseline;gap:8px}
.cards-if-narrow td{white-space:normal;text-align:right;overflow-wrap:anywhere;min-width:0}
.cards-if-narrow td.n{white-space:nowrap}.cards-if-narrow td:empty{display:none}
.cards-if-narrow td:first-child{grid-column:1/-1;font-weight:500;text-align:left}
.cards-if-narrow td.wide:not(:first-child){grid-column:1/-1;min-width:0}
.cards-if-narrow td[data-head]::before{content:attr(data-head);color:var(--soft);white-space:normal;text-align:left;
overflow-wrap:normal}.cards-if-narrow td.wide::before{flex:none}
.grid th,.grid td{font-size:13px}}
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
        _section("Exposure", _exposure(report["exposure"])),
        _section("Trading, 24 hours", _activity(report["activity"])),
        _section("Greeks", _greeks(report["greeks"])),
    ]
    if measures is None:
        parts.append(
            _section("Risk", '<p class="unknown">unknown: no sweep has measured this account yet</p>')
        )
    else:
        parts += [
            _section("Value at risk", report_risk.tail(measures)),
            _section(
                "Stress: P&amp;L if spot and volatility move", report_risk.grid(measures["stress"]["grid"])
            ),
            _section("Scenarios", report_risk.scenarios(measures["stress"]["scenarios"])),
            _section("Market", report_risk.market(measures["market"])),
            _section("Correlation", report_risk.correlation(measures["correlation"])),
            _section("Data quality", report_risk.quality(measures["quality"])),
        ]
    parts += [
        _section("Performance", _performance(report["performance"])),
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
        f'<p class="soft">{escape(report["at"][:16].replace("T", " "))} UTC, session {escape(report["session"])}, '
        f"amounts in {escape(report['currency'])}, profile {escape(report['profile'])}</p>"
    )


def _cards(report: Mapping[str, Any]) -> str:
    portfolio, measures = report["portfolio"], report["measures"]
    figure = next((f for f in _figures(measures) if f["var"] is not None), None)
    near = (measures or {}).get("stress", {}).get("grid") or {}
    market = (measures or {}).get("market", {})
    regime = market.get("regime")
    cards = [
        ("Equity", money(portfolio["equity"])),
        ("P&amp;L of the day", signed(portfolio["pnl_day"])),
        ("Unrealised", signed(portfolio["unrealised"])),
        ("Long / short", f"{money(portfolio['long_value'])} / {money(portfolio['short_value'])}"),
        ("Exposure", money(portfolio["gross_exposure"])),
        (
            _var_title(figure) if figure else "VaR",
            money(figure["var"] if figure else None),
        ),
        ("Worst near stress", signed((near.get("near") or {}).get("pnl"))),
        ("Market", escape(regime) if regime else UNKNOWN),
    ]
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><span>{title}</span><b>{value}</b></div>' for title, value in cards)
        + "</div>"
    )


def _var_title(figure: Mapping[str, Any]) -> str:
    sessions = figure["horizon_sessions"]
    return f"VaR {100 * figure['confidence']:.4g}%, {sessions} session{'' if sessions == 1 else 's'}"


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
            _with_unit(one["current"], one["unit"]),
            _with_unit(one["threshold"], one["unit"]),
            _used(one),
            f'<span class="{_LEVELS.get(one["level"], "unknown")}">{escape(one["level"])}</span>',
        )
        for one in sorted(items, key=lambda one: (order.get(one["level"], 2), one["limit"], one["object"]))
    ]
    return table(("Limit", "?Of", ">Now", ">Limit", "Used", "Level"), rows)


def _with_unit(text: str | None, unit: str) -> str:
    """Return a number and its unit: a sign close to it, a word after a space."""
    if text is None:
        return UNKNOWN
    return number(text, 2) + ("" if unit in ("%", "x", "") else " ") + escape(unit)


def _used(one: Mapping[str, Any]) -> str:
    if one["current"] is None or not float(one["threshold"]):
        return ""
    return meter(max(min(float(one["current"]) / float(one["threshold"]), 1.0), 0.0), one["level"])


def _positions(items: Sequence[Mapping[str, Any]], currency: str) -> str:
    if not items:
        return '<p class="soft">No open positions.</p>'
    rows = [
        (
            escape(one["symbol"]),
            escape(one["strategy"]),
            escape(one["side"]),
            number(one["quantity"]),
            number(one["average_price"]),
            number(one["mark"]),
            money(one["value"]),
            signed(one["unrealised"]),
            money(one["es_contribution"]),
            signed(one["near_stress"]),
        )
        for one in items
    ]
    heads = ("Symbol", "Strategy", "Side", ">Units", ">Average", ">Mark", f">Value {escape(currency)}")
    return table((*heads, ">Unrealised", ">Part of ES", ">Near stress"), rows)


def _strategies(items: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(name),
            str(one["positions"]),
            money(one["value"]),
            signed(one["unrealised"]),
            money(one["delta"]),
            money(one["theta"]),
            money(one["vega"]),
        )
        for name, one in items.items()
    ]
    return table(
        ("Strategy", ">Positions", ">Value", ">Unrealised", ">Delta", ">Theta a day", ">Vega 1 %"), rows
    )


def _exposure(found: Mapping[str, Any]) -> str:
    if not found["underlyings"]:
        return '<p class="soft">No open positions with a price.</p>'
    worst = found["worst_payoff"]
    groups = [("account", found["account"], "")]
    groups += [(name, one, money(worst[name])) for name, one in found["underlyings"].items()]
    for kind, word in (("currencies", "currency"), ("strategies", "strategy")):
        if len(found[kind]) > 1:
            groups += [(f"{word} {name}", one, "") for name, one in found[kind].items()]
    rows = [
        (escape(name), *(money(one[part]) for part in ("gross", "net", "long", "short")), at_worst)
        for name, one, at_worst in groups
    ]
    heads = ("Of", ">Gross value", ">Net", ">Long", ">Short", ">At the worst payoff")
    known = found["concentration"]
    note = (
        f"Concentration at the worst payoff: {escape(known['top'])} is {known['top_share']:.0%}; Herfindahl's index "
        f"{known['herfindahl']:.2f}, as of {known['as_many_equal']:g} equal underlyings."
        if known
        else f"Concentration: {UNKNOWN}."
    )
    left_out = f" Without {escape(', '.join(found['without']))}." if found["without"] else ""
    return table(heads, rows) + f'<p class="soft">{note}{left_out}</p>'


def _activity(found: Mapping[str, Any]) -> str:
    over = UNKNOWN if found["turnover"] is None else f"{found['turnover']:.2f} times equity"
    money_moved = f"Bought {money(found['bought'])}, sold {money(found['sold'])}: turnover {over}."
    held = found["held_seconds"]
    if held is None:
        return f"<p>{money_moved} No trade was closed.</p>"
    mean, median, short, long = (duration(held[n]) for n in ("mean", "median", "shortest", "longest"))
    return (
        f"<p>{money_moved} {found['closed_trades']} trades closed, held {mean} on average, {median} in the middle, "
        f"from {short} to {long}.</p>"
    )


_RATIOS = ("sharpe", "sortino", "calmar", "omega", "profit_factor", "longest_drawdown")


def _performance(found: Mapping[str, Any]) -> str:
    if not found["sessions"]:
        return f'<p class="unknown">unknown: {escape(found["unknown"][""])}</p>'
    rows = [
        (name.replace("_", " "), _measure(name, value), escape(found["unknown"].get(name, "")))
        for name, value in found["values"].items()
    ]
    left_out = f", {found['without']} left out" if found["without"] else ""
    count = f"{found['sessions']} session{'' if found['sessions'] == 1 else 's'}"
    note = f"{count} from {found['from']} to {found['to']}{left_out}, {found['periods']} a year."
    return f'<p class="soft">{escape(note)}</p>' + table(("Measure", ">Value", "?No answer"), rows)


def _measure(name: str, value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,.4g}" if name in _RATIOS else f"{value:.2%}"


def _greeks(greeks: Mapping[str, Any] | None) -> str:
    if greeks is None:
        return '<p class="soft">No open positions.</p>'
    names = ("delta", "gamma", "theta", "vega", "beta_delta")
    groups = [("account", greeks["account"]), *greeks["underlyings"].items()]
    rows = [
        (
            escape(name),
            number(one["units"]) if one["units"] is not None else "",
            *(money(one[n]) for n in names),
        )
        for name, one in groups
    ]
    heads = ("Of", ">Units", ">Delta", ">Gamma 1&nbsp;%", ">Theta a day", ">Vega 1&nbsp;%", ">Beta-weighted")
    return table(heads, rows)


def _history(history: Mapping[str, Any], currency: str) -> str:
    points = [(at[:16].replace("T", " "), float(total)) for at, total in history["recent"]]
    recent = line("P&L since the account began, last 7 days", currency, points, "reading")
    if history["unknown"]:
        return f'<p class="unknown">unknown: {escape(history["unknown"])}</p>{recent}'
    charts = [
        line(
            name.replace("_", " "),
            "" if name == "volatility_index" else currency,
            [(day, float(v)) for day, v in values.items() if v is not None],
        )
        for name, values in history["metrics"].items()
    ]
    drawn = [chart for chart in charts if chart]
    return (
        f'<div class="pair">{"".join(drawn)}</div>' if drawn else f'<p class="soft">No rows yet.</p>{recent}'
    )


def _alerts(items: Sequence[Mapping[str, Any]]) -> str:
    if not items:
        return '<p class="soft">None.</p>'
    rows = [
        (
            escape(str(one.get("raised_at") or "")[:16].replace("T", " ")),
            escape(str(one.get("severity") or "")),
            escape(str(one.get("summary") or one.get("kind") or "")),
            escape(str(one.get("status") or "")),
        )
        for one in items
    ]
    return table(("When, UTC", "Severity", "?What", "Status"), rows)
