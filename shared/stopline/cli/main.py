"""The group `stopline`. A subcommand is imported when it is called: `stopline --help` answers at once."""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

import click

from stopline import __version__
from stopline.cli.failures import Failure, as_failure


class Entry(NamedTuple):
    """Where a subcommand is, and what the help says about it."""

    module: str
    command: str
    about: str


# To add a subcommand: a module with a click command, and a line here.
COMMANDS = {
    "kill": Entry("stopline.cli.trading", "kill", "Stop trading, cancel working orders, close positions."),
    "pause": Entry("stopline.cli.trading", "pause", "Let through only what reduces risk."),
    "resume": Entry("stopline.cli.trading", "resume", "Let trading go on."),
    "status": Entry("stopline.cli.trading", "status", "Show what is stopped, by whom, and what is open."),
    "accounts": Entry("stopline.cli.accounts", "accounts", "Create, list and show trading accounts."),
    "alerts": Entry(
        "stopline.cli.alerts", "alerts", "See which alerts stand, acknowledge them, try the ways to people."
    ),
    "adapters": Entry("stopline.cli.adapters", "adapters", "See broker adapters, and retire one."),
    "strategy": Entry("stopline.cli.strategy", "strategy", "Show what a strategy made, and its exits."),
    "exits": Entry("stopline.cli.exits", "exits", "Show the exits of an account, preview and change them."),
    "replay": Entry(
        "stopline.cli.replay", "replay", "Run a past day out of CSV files through the risk desk."
    ),
    "normalise": Entry(
        "stopline.cli.normalise", "normalise", "Turn a broker's messages into normalised fills."
    ),
    "greeks": Entry("stopline.cli.greeks", "greeks", "Add prices and Greeks to a CSV file of options."),
    "iv": Entry("stopline.cli.iv", "iv", "Add implied volatilities to a CSV file of options."),
    "metrics": Entry("stopline.cli.metrics", "metrics", "Measure a series of returns: CSV in, JSON out."),
    "var": Entry("stopline.cli.var", "var", "Value at risk and expected shortfall of a series of P&L."),
    "stress": Entry(
        "stopline.cli.stress", "stress", "What positions make or lose if spot and volatility move."
    ),
    "report": Entry(
        "stopline.cli.report", "report", "The risk report of an account: JSON, or one HTML page."
    ),
    "factors": Entry(
        "stopline.cli.factors", "factors", "Load closes of past sessions, and see what is known."
    ),
    "ledger": Entry("stopline.cli.ledger", "ledger", "Account for fills: positions, lots, realised P&L."),
    "margin": Entry("stopline.cli.margin", "margin", "Work out what option legs bind, lose and make."),
    "check": Entry("stopline.cli.check", "check", "Check an order against an account before it is sent."),
    "size": Entry("stopline.cli.size", "size", "Say how large an order should be."),
    "settle": Entry("stopline.cli.settle", "settle", "Settle expired options at a price that you give."),
    "audit": Entry("stopline.cli.audit", "audit", "Check that the audit trail is whole."),
    "reconcile": Entry("stopline.cli.reconcile", "reconcile", "Compare a book with a broker's statement."),
    "adjust": Entry("stopline.cli.adjust", "adjust", "Change a book by hand, on record; or take that back."),
    "reduce": Entry(
        "stopline.cli.reduce", "reduce", "Preview what to close until a target holds, and close it."
    ),
    "executions": Entry(
        "stopline.cli.executions", "executions", "Show how close commands were executed, and sum it up."
    ),
    "quarantine": Entry("stopline.cli.quarantine", "quarantine", "Look at messages that were refused."),
    "dead-letters": Entry(
        "stopline.cli.dead_letters", "dead_letters", "Messages that were given up: look, bring back, drop."
    ),
    "rewind": Entry("stopline.cli.rewind", "rewind", "Deliver fills or history rows again from a moment on."),
    "history": Entry("stopline.cli.history", "history", "Check that BigQuery has what Firestore has."),
    "restored": Entry(
        "stopline.cli.restored", "restored", "Stop what a restored database has forgotten to be stopped."
    ),
    "publish": Entry("stopline.cli.publish", "publish", "Put a fill, prices or a sweep on their topic."),
    "token": Entry("stopline.cli.token", "token", "Make a token for the Stopline of this machine."),
    "up": Entry("stopline.cli.up", "up", "Run the whole system on this machine."),
    "simulate": Entry(
        "emulators.simulator.command", "simulate", "Play seeded fault schedules and check every invariant."
    ),
    "demo": Entry("emulators.demo.command", "demo", "Show a trading day, from first fill to kill switch."),
}
CHECKOUT = (
    "it comes with the source of Stopline: in a checkout, run `make setup` and `.venv/bin/stopline {0}`"
)


class Commands(click.Group):
    """A group whose failures are one line and an exit code: 1 the work failed, 2 the input was bad."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command = getattr(import_module(entry.module), entry.command)
        except ModuleNotFoundError as problem:
            raise Failure(missing(cmd_name, problem.name or "")) from None
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.about) for name, entry in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and exit."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that has no such character shows `?`
        try:
            code = super().main(*args, **{"prog_name": "stopline", **extra, "standalone_mode": False})
        except BrokenPipeError:  # the reader of our output has gone: `stopline ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except click.exceptions.NoArgsIsHelpError as asked:
            click.echo(asked.format_message(), err=True)
            sys.exit(2)
        except (click.exceptions.Abort, KeyboardInterrupt):
            sys.exit(130)
        except Exception as problem:  # the boundary: a person gets one line, never a traceback
            if os.environ.get("STOPLINE_DEBUG"):
                raise
            failure = as_failure(problem)
            click.echo(f"stopline: {failure.message}", err=True)
            sys.exit(failure.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


def missing(command: str, module: str) -> str:
    """Say what to do where a module is not installed."""
    if module.split(".")[0] == "emulators":
        return f"`stopline {command}` is not part of this installation: " + CHECKOUT.format(command)
    return f"`stopline {command}` needs the package {module!r}: pip install 'stopline[cli,api]'"


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="stopline %(version)s")
def main() -> None:
    """Stopline: a serverless risk desk for traders.

    Settings come from the environment: GOOGLE_CLOUD_PROJECT, FIRESTORE_EMULATOR_HOST,
    PUBSUB_EMULATOR_HOST and STOPLINE_*. Exit codes: 0 ok, 1 the work failed, 2 bad input.
    """
