"""stopline reduce: preview what to close until a target holds, and close it."""

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from stopline.cli.failures import BadInput, Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.decimals import decimal_text
from stopline.model.ids import digest
from stopline.model.times import utc_text
from stopline.rules.reduction.alert import IN_TURN
from stopline.rules.reduction.plan import Measure, ReductionPlan


@click.command()
@click.argument("account")
@click.option(
    "--by",
    "measure",
    type=click.Choice([m.value for m in Measure]),
    default=Measure.MARGIN.value,
    show_default=True,
    help="What is to come down.",
)
@click.option(
    "--to", "target", required=True, metavar="MONEY", help="In the account's currency; 0 closes all."
)
@click.option("--execute", is_flag=True, help="Close what the plan shows, after a question.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the plan as JSON; with --execute it needs --yes."
)
@click.pass_context
def reduce(
    ctx: click.Context, account: str, measure: str, target: str, execute: bool, yes: bool, as_json: bool
) -> None:
    """Show which trades of ACCOUNT to close, in which order, until its margin, exposure or heat is low enough.

    Nothing is sent without --execute. Exit code 1 when the target cannot be reached.
    """
    if execute and as_json and not yes:
        raise BadInput("--execute with --json needs --yes: there is nobody to ask")
    app = app_of(ctx)
    known = app.accounts.require(account)
    plan = app.reducer.plan(known, Measure(measure), _money(target))
    if as_json:
        print_json(facts(plan))
    else:
        show(plan, known.currency)
    if execute and plan.steps:
        if not yes:
            click.confirm(f"close {len(plan.steps)} trades of {account} now?", abort=True)
        now = app.clock.now()
        requests = app.reducer.execute(known, plan, "reduction", digest(actor(), utc_text(now)))
        click.echo(
            f"asked for {len(requests)} closings, {IN_TURN}: `stopline accounts show {account}` follows them",
            err=True,
        )
    if not plan.reached:
        raise Failure(f"the target of {target} {known.currency} cannot be reached by what can be valued")


def _money(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"--to must be money such as 25000, was {text[:40]!r}") from None
    if not value.is_finite() or value < 0:
        raise BadInput(f"--to must be 0 or more, was {text[:40]!r}")
    return value


def facts(plan: ReductionPlan) -> dict[str, Any]:
    """Return a plan as plain data: decimal text, None where UNKNOWN."""
    return {
        "measure": plan.measure.value,
        "target": decimal_text(plan.target),
        "before": None if plan.before is None else decimal_text(plan.before),
        "after": None if plan.after is None else decimal_text(plan.after),
        "reached": plan.reached,
        "steps": [
            {
                "trade_id": step.trade_id,
                "strategy": step.strategy,
                "held": decimal_text(step.held),
                "leave": decimal_text(step.leave),
                "legs": [
                    {"symbol": leg.symbol, "side": leg.side, "quantity": decimal_text(leg.quantity)}
                    for leg in step.legs
                ],
                "freed": decimal_text(step.freed),
                "cost": decimal_text(step.cost),
            }
            for step in plan.steps
        ],
        "left_out": [{"trade_id": trade_id, "reason": reason} for trade_id, reason in plan.left_out],
    }


def show(plan: ReductionPlan, currency: str) -> None:
    """Print a plan for people."""
    rows = [
        (
            number,
            step.trade_id[:8],
            step.strategy,
            f"{decimal_text(step.held)} -> {decimal_text(step.leave)}",
            ", ".join(f"{leg.side} {decimal_text(leg.quantity)} {leg.symbol}" for leg in step.legs),
            f"{step.freed:,.2f}",
            f"{step.cost:,.2f}",
        )
        for number, step in enumerate(plan.steps, 1)
    ]
    heads = ("step", "trade", "strategy", "units", "orders", "frees", "cost")
    out = console()
    if rows:
        out.print(table(f"reduction, {currency}", heads, rows, ("step", "frees", "cost")))
    before, after = ("unknown" if value is None else f"{value:,.2f}" for value in (plan.before, plan.after))
    out.print(f"{plan.measure.value}: {before} -> {after} {currency}, target {plan.target:,.2f}")
    for trade_id, reason in plan.left_out:
        out.print(f"left out: trade {trade_id[:8]}: {reason}")
