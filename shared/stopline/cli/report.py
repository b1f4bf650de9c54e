"""stopline report: the risk report of an account."""

from pathlib import Path

import click

from stopline.cli.failures import Failure
from stopline.cli.show import always_json, print_json
from stopline.cli.world import app_of
from stopline.service.report.page import report_page


@click.command()
@click.argument("account")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one self-contained page here instead of JSON to standard output.",
)
@always_json
@click.pass_context
def report(ctx: click.Context, account: str, page: Path | None) -> None:
    """Report the risk of an account: portfolio, positions, strategies, limits, VaR, stress, alerts, what to do.

    Marks are of this moment; VaR, stress and correlation are those of the last sweep. What is unknown is null.
    """
    app = app_of(ctx)
    found = app.reporter.report(app.accounts.require(account))
    if page is None:
        print_json(found)
        return
    try:
        page.write_text(report_page(found), "utf-8")
    except OSError as problem:
        raise Failure(f"{page}: {problem.strerror or problem}") from None
    click.echo(
        f"{page}: {len(found['positions'])} positions, {len(found['recommendations'])} recommendations"
    )
