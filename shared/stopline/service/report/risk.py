"""What the last sweep measured, on the report's page: value at risk, stress, market, correlation, data quality."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stopline.rules.limits.exposure import position_name
from stopline.service.report.parts import UNKNOWN, bars, heat, money, signed, table


def tail(measures: Mapping[str, Any]) -> str:
    tail, window = measures["tail"], measures["window"]
    if tail["unknown"] and not tail["figures"]:
        return f'<p class="unknown">unknown: {escape(tail["unknown"])}</p>'
    rows = []
    for one in tail["figures"]:
        if one["var"] is None:
            rows.append(
                (escape(one["method"]), UNKNOWN, UNKNOWN, "", "", f"no answer: {escape(one['unknown'])}")
            )
            continue
        excluded = ", ".join(one["excluded"])
        rows.append(
            (
                escape(one["method"]),
                money(one["var"]),
                money(one["es"]),
                str(one["n"]),
                f"{one['age_days']:g}",
                escape(excluded) or "nothing",
            )
        )
    ahead = next((one["horizon_sessions"] for one in tail["figures"] if one["var"] is not None), 1)
    notes = f"Over {ahead} sessions. " if ahead != 1 else ""
    notes += f"Sessions {window['from']} to {window['to']}, {window['dropped']} dropped for holes. "
    notes += (
        f"Volatilities move with {escape(window['volatility_moves'])}."
        if window["volatility_moves"]
        else "Volatilities stay: their index has no history."
    )
    parts = ((named(key), float(part)) for key, part in tail["legs"].items())
    legs = sorted(parts, key=lambda one: -abs(one[1]))
    chart = bars("Parts of the expected shortfall, by position", legs[:10])
    heads = ("Method", ">VaR", ">ES", ">Sessions", ">Age, days", "?Left out")
    return table(heads, rows) + f'<p class="soft">{notes}</p>' + _parts(tail) + _sources(tail) + chart


def _parts(tail: Mapping[str, Any]) -> str:
    """Each underlying's parts of VaR and ES, and what goes away when all on it is closed."""
    known = tail.get("underlyings") or {}  # not in a document of before
    parts = ("component_var", "component_es", "incremental_var", "incremental_es")
    rows = [(escape(name), *(money(one.get(part)) for part in parts)) for name, one in known.items()]
    heads = (
        "Underlying",
        ">Part of VaR",
        ">Part of ES",
        ">VaR that closing it takes away",
        ">ES that closing it takes away",
    )
    note = '<p class="soft">Parts add up; 1&nbsp;% more of an underlying adds a hundredth of its part.</p>'
    return table(heads, rows) + note if rows else ""


def _sources(tail: Mapping[str, Any]) -> str:
    """Say which factors the variance of the P&L is from."""
    found = tail.get("decomposition")
    if found is None:
        return ""
    if found["unknown"]:
        return f'<p class="soft">Factors: {UNKNOWN}, {escape(found["unknown"])}.</p>'
    rows = [
        (escape(name), signed(_of_a_per_cent(one["beta"])), _share(one["share"]))
        for name, one in found["factors"].items()
    ]
    rows.append(("the rest", "", _share(found["residual"])))
    return table(("Variance from", ">P&amp;L if it rises 1&nbsp;%", ">Part"), rows)


def _of_a_per_cent(text: str | None) -> str | None:
    return None if text is None else str(float(text) / 100)


def _share(part: float | None) -> str:
    return UNKNOWN if part is None else f"{part:.1%}"


def named(key: str) -> str:
    """Return a position's key as people read it: the symbol, and the strategy where it is not the default one."""
    return position_name(key) if key else ""


def grid(found: Mapping[str, Any] | None) -> str:
    """The P&L of every pair of shocks, in whole units of the account's currency."""
    if found is None:
        return '<p class="unknown">unknown: no position can be priced</p>'
    most = max((abs(float(x)) for row in found["pnl"] for x in row if x is not None), default=1.0) or 1.0
    heads = ("Spot", *(f">vol x{factor:g}" for factor in found["volatility"]))
    rows = [
        (f"{shock:+.0%}" if shock else "0%", *(_pnl(x, most) for x in row))
        for shock, row in zip(found["spot"], found["pnl"], strict=True)
    ]
    note = f'<p class="soft">Without {escape(", ".join(found["excluded"]))}.</p>' if found["excluded"] else ""
    return table(heads, rows, grid=True) + note


def _pnl(text: str | None, most: float) -> str:
    if text is None:
        return UNKNOWN
    value = float(text)
    return heat(value, abs(value) / most, f"{value:,.0f}")


def scenarios(items: Sequence[Mapping[str, Any]]) -> str:
    """Every scenario, the worst first."""
    rows = [
        (
            escape(one["name"]),
            signed(one["pnl"]),
            escape(named(one.get("worst_position") or "")),
            money(one.get("margin_after")),
            money(one["equity_after"]) if "equity_after" in one else "",
            _broken(one["breaches"]) if "breaches" in one else "",
        )
        for one in sorted(items, key=lambda one: float(one["pnl"]))
    ]
    heads = (
        "?Scenario",
        ">P&amp;L",
        "?Loses most",
        ">Margin after",
        ">Equity after",
        "?Breaks",
    )
    return table(heads, rows)


def _broken(keys: Sequence[str]) -> str:
    names = (key.partition("|") for key in keys)
    told = (limit if thing == "account" else f"{limit} of {thing}" for limit, _, thing in names)
    return escape(", ".join(told).replace("_", " ")) or "none"


def market(found: Mapping[str, Any]) -> str:
    level, name = found["level"], found["volatility_index"]
    text = f"{escape(name)} {level:g}: {escape(found['regime'])}" if level is not None else UNKNOWN
    rows = [
        (
            escape(symbol),
            f"{one['move']:+.2%}",
            f"{one['deviation']:.2%}",
            f"{one['deviations']:.1f}" if one["deviations"] is not None else "",
            f"{one['volatility']:.1%}",
        )
        for symbol, one in found["moves"].items()
    ]
    heads = ("Symbol", ">Since its close", ">Deviation a day", ">Times", ">Volatility a year")
    return f"<p>Volatility: {text}</p>" + (table(heads, rows) if rows else "")


def correlation(found: Mapping[str, Any]) -> str:
    if found["unknown"]:
        return f'<p class="unknown">unknown: {escape(found["unknown"])}</p>'
    rows = [
        (escape(symbol), *(heat(x, abs(x), f"{x:.2f}") for x in row))
        for symbol, row in zip(found["symbols"], found["matrix"], strict=True)
    ]
    matrix = table(("", *(f">{escape(symbol)}" for symbol in found["symbols"])), rows, grid=True)
    changes = "".join(
        f"<p>{escape(c['first'])} and {escape(c['second'])}: {c['before']:.2f} before, {c['after']:.2f} in 20 sessions</p>"
        for c in found["changes"] or []
    )
    spread = found["deviation"]
    whole = (
        f'<p class="soft">Deviation of a day: {money(spread["now"])}; if all correlations were one '
        f"{money(spread['one'])}; if all went against the book {money(spread['against'])}.</p>"
        if spread
        else ""
    )
    return matrix + changes + whole


def quality(found: Mapping[str, Any]) -> str:
    names = {
        "missing": "no price",
        "stale": "stale",
        "suspect": "price waits for a second reading",
        "wide": "wide quote",
        "no_close": "no close in the last session",
        "no_rate": "no exchange rate",
    }
    rows = [(text, escape(", ".join(found[name]))) for name, text in names.items() if found.get(name)]
    return (
        table(("Trouble", "?Symbols"), rows)
        if rows
        else '<p class="good">All prices are there and young.</p>'
    )
