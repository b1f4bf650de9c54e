"""`stopline replay --what-if`: a day without exits and with them, or with several values of one setting, side by side."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from stopline.cli.replay import Options, live, run_replay
from stopline.cli.show import console, print_json, table
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.replay.result import ReplayResult
from stopline.replay.what_if import EXIT_KINDS, WhatIf, compare, without_exits

MOST = 20  # values of one setting: each is a whole replay


def run_what_if(options: Options, vary: str | None, as_json: bool) -> int:
    """Replay without exits and with them, once for each value of `vary` (SETTING=VALUE,VALUE), show all side by side, and
    return the exit code. Raises Rejected for a setting that cannot be.
    """
    setting, values = _values(vary)
    choices = {value: replace(options, exits=(*options.exits, f"{setting}={value}")) for value in values}
    choices = choices or {"with exits": options}
    # what is varied may be what the other settings need: they are read with its first value, then taken away
    without = run_replay(next(iter(choices.values())), adapt=without_exits)
    runs = {name: run_replay(chosen, engine_type=WhatIf) for name, chosen in choices.items()}
    if values:
        _show_many(setting, without, runs, as_json)
    else:
        _show_two(without, runs["with exits"], as_json)
    results = [without, *runs.values()]
    return 0 if all(r.conservation.closes and not r.faults for r in results) else 1


def _values(vary: str | None) -> tuple[str, list[str]]:
    if vary is None:
        return "", []
    setting, _, text = vary.partition("=")
    values = [value.strip() for value in text.split(",")]
    if not setting or not all(values) or not 2 <= len(values) <= MOST or len(set(values)) < len(values):
        raise Rejected(
            "BAD_OPTION",
            f"--vary takes SETTING=VALUE,VALUE with 2 to {MOST} different values,"
            f" such as trades.trail.amount=1%,2%,3%, was {vary[:60]!r}",
        )
    return setting, values


def _show_two(without: ReplayResult, found: ReplayResult, as_json: bool) -> None:
    lines = compare(without, found)
    if as_json:
        numbers = [
            {
                "account": line.account,
                "what": line.what,
                "without": _text(line.without),
                "with": _text(line.with_exits),
                "difference": _text(line.difference),
            }
            for line in lines
        ]
        print_json({"without": without.plain(), "with": found.plain(), "compared": numbers})
        return
    for alert in found.alerts:
        if alert.kind in EXIT_KINDS:
            live(alert)
    heads = ("account", "what", "without exits", "with exits", "difference")
    rows = [(x.account, x.what, _text(x.without), _text(x.with_exits), _text(x.difference)) for x in lines]
    console().print(table("what if", heads, rows, heads[2:]))


def _show_many(setting: str, without: ReplayResult, runs: dict[str, ReplayResult], as_json: bool) -> None:
    """Show one column for each value. Of each account's numbers the run without exits comes first."""
    columns = {value: compare(without, found) for value, found in runs.items()}
    lines = next(iter(columns.values()))
    rows: list[Sequence[Any]] = [
        (line.account, line.what, _text(line.without), *(_text(c[n].with_exits) for c in columns.values()))
        for n, line in enumerate(lines)
    ]
    if as_json:
        numbers = [
            {"account": row[0], "what": row[1], "without": row[2], **dict(zip(columns, row[3:], strict=True))}
            for row in rows
        ]
        print_json({"setting": setting, "values": list(columns), "compared": numbers})
        return
    heads = ("account", "what", "without", *columns)
    console().print(table(f"what if, by {setting}", heads, rows, heads[2:]))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
