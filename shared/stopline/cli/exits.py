"""stopline exits: what holds for each open trade, and changes of it, previewed."""

import json
from collections.abc import Sequence
from typing import Any

import click

from stopline.cli.exit_tables import previewed, strategy_exits, trade_exits
from stopline.cli.failures import BadInput
from stopline.cli.show import console, print_json
from stopline.cli.world import actor, app_of
from stopline.model.wire import validate
from stopline.service.exits.desk import ExitPatch


@click.command()
@click.argument("account")
@click.argument("settings", nargs=-1, metavar="[SETTING=VALUE]...")
@click.option("--strategy", help="Of this strategy; its trades' exits are trades.SETTING.")
@click.option("--trade", help="Of this open trade: its id, or at least the first 8 characters.")
@click.option("--preview", is_flag=True, help="Say what it would do, and change nothing.")
@click.option("--close-now", is_flag=True, help="Change it even if that closes something at once.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def exits(
    ctx: click.Context,
    account: str,
    settings: tuple[str, ...],
    strategy: str | None,
    trade: str | None,
    preview: bool,
    close_now: bool,
    as_json: bool,
) -> None:
    """Show the exits of ACCOUNT, or change them: `stopline exits demo --trade 4f1c0e7a stop_loss=2% target=off`.

    A setting without a value (`target=`) is inherited again. Lists are JSON: `lock_in=[{"at":"2%","keep":"1%"}]`.
    docs/exits.md has all settings.
    """
    app = app_of(ctx)
    known = app.accounts.require(account)
    if not settings:
        facts = app.exit_desk.facts(known)
        print_json(facts) if as_json else _show(facts)
        return
    body = {
        "expected_version": known.version,
        "strategy": strategy,
        "trade": trade,
        "exits": _patch(settings),
    }
    patch = validate(ExitPatch, {**body, "preview": preview, "close_now": close_now})
    facts = app.exit_desk.change(account, patch, actor())
    if as_json:
        print_json(facts)
        return
    out = console()
    done = f"version {facts['version']} of account {account}, holds within 30 s"
    out.print(done if facts["applied"] else "preview, nothing is changed")
    for note in facts["notes"]:
        out.print(f"note: {note}")
    found = previewed(facts["trades"], facts["strategies"])
    out.print("no open trade is concerned" if found is None else found)


def _patch(settings: Sequence[str]) -> dict[str, Any]:
    """Return a merge patch of `SETTING=VALUE`, with dots between the names."""
    patch: dict[str, Any] = {}
    for text in settings:
        path, equals, value = text.partition("=")
        *parents, name = path.split(".")
        if not equals or not all(path.split(".")):
            raise BadInput(f"takes SETTING=VALUE such as stop_loss=2%, was {text[:60]!r}")
        here = patch
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise BadInput(f"{parent} is set twice: {text[:60]!r}")
        here[name] = _value(text, value)
    return patch


def _value(text: str, value: str) -> Any:
    if not value:
        return None
    if value[0] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            raise BadInput(f"is not JSON: {text[:60]!r}") from None
    return {"true": True, "false": False}.get(value, value)


def _show(facts: dict[str, Any]) -> None:
    out = console()
    out.print(
        f"exits of account {facts['account']}, version {facts['version']}: {json.dumps(facts['settings'])}"
    )
    states = {id_: trade["state"] for id_, trade in facts["trades"].items() if trade["state"]}
    for found in (trade_exits({"trades": states}), strategy_exits(facts)):
        if found is not None:
            out.print(found)
    if facts["paused"]:
        out.print(f"paused: {', '.join(facts['paused'])}")
