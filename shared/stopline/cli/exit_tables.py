"""Exits and closings of an account as tables for people."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from stopline.cli.show import table
from stopline.model.decimals import decimal_text


def trade_exits(exits: Mapping[str, Any]) -> Table | None:
    """Return where the exits of open trades stand; None where there is no trade. A price that is not known is unknown."""
    rows = [
        (
            id_[:8],
            trade["name"],
            trade["strategy"],
            trade["side"],
            trade["quantity"],
            _short(trade["entry"]),
            None if trade["price"] is None else _short(trade["price"]),
            _at(trade["stop"], trade["stop_rule"]),
            _at(trade["target"], None),
            trade["asked"] or "",
            trade["health"],
        )
        for id_, trade in (exits.get("trades") or {}).items()
    ]
    heads = (
        "id",
        "trade",
        "strategy",
        "side",
        "units",
        "entry",
        "price",
        "stop",
        "target",
        "asked",
        "health",
    )
    return table("exits of trades", heads, rows, ("units", "entry", "price", "health")) if rows else None


def strategy_exits(exits: Mapping[str, Any]) -> Table | None:
    """Return where the MTM exits of strategies stand; None where no strategy has any."""
    rows = [
        (
            name,
            one["mtm"],
            one["peak"],
            _at(one["stop"], one["stop_rule"]),
            _state(one),
        )
        for name, one in (exits.get("strategies") or {}).items()
    ]
    heads = ("strategy", "MTM", "peak", "stop", "state")
    return table("exits of strategies", heads, rows, ("MTM", "peak")) if rows else None


def _state(one: Mapping[str, Any]) -> str:
    if not one["active"]:
        return f"stopped by {one['stopped']['rule'].replace('_', ' ')}"
    return f"paused: {last_known(one)}" if one.get("paused") else "active"


def last_known(one: Mapping[str, Any]) -> str:
    """Return a strategy's last known MTM and of when it is."""
    if one.get("last") is None:
        return "its MTM was never known"
    return f"last known MTM {decimal_text(round(Decimal(one['last']), 4))}, of {one['last_at'] or 'unknown'}"


def previewed(trades: Mapping[str, Any], strategies: Mapping[str, Any]) -> Table | None:
    """Return what a change does to open trades and strategies; None where it concerns none."""
    rows = [
        (
            f"{one['name']} ({id_[:8]})",
            one["price"],
            _at(one["before"]["stop_at"], None),
            _at(one["after"]["stop_at"], None),
            _at(one["before"]["target_at"], None),
            _at(one["after"]["target_at"], None),
            one["closes_now"] or "",
        )
        for id_, one in trades.items()
    ] + [
        (
            f"strategy {name}",
            one["mtm"],
            _at(one["stop_before"], None),
            _at(one["stop_after"], None),
            "",
            "",
            one["closes_now"] or "",
        )
        for name, one in strategies.items()
    ]
    heads = ("of", "at", "stop was", "stop is", "target was", "target is", "closes now")
    return table("what it does", heads, rows, heads[1:-1]) if rows else None


def closings(found: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return what was asked to be closed, and how far it is; None where nothing was."""
    rows = [
        (one["object"], one["rule"], one["status"], one["since"], one["ended_at"] or "", _proof(one))
        for one in found
    ]
    heads = ("closing", "by", "status", "since", "fills prove it", "statement or what it waits for")
    return table("closings", heads, rows) if rows else None


def _proof(one: Mapping[str, Any]) -> str:
    if one["confirmed_at"]:
        return f"confirmed {one['confirmed_at']}"
    return one["waits"] or ("not confirmed yet" if one["status"] in ("CLOSED", "FLAT") else "")


def _at(level: str | None, rule: str | None) -> str:
    if level is None:
        return "none"
    return f"{_short(level)} {rule.replace('_', ' ')}" if rule else _short(level)


def _short(number: str) -> str:
    return decimal_text(round(Decimal(number), 4))
