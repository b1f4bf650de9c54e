"""stopline up: the whole system on this machine, until Ctrl-C."""

import json
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from stopline.cli.failures import Failure
from stopline.cli.main import missing
from stopline.cli.show import print_json
from stopline.model.rights import Rights

if TYPE_CHECKING:
    from emulators.stack import Stack

RIGHTS: Rights = ("view", "trade", "risk", "kill", "resume", "admin")


@click.command()
@click.option(
    "--bigquery/--no-bigquery", default=None, help="With the BigQuery emulator (default: where installed)."
)
@click.option("--json", "as_json", is_flag=True, help="Print URLs and environment as one JSON object.")
def up(bigquery: bool | None, as_json: bool) -> None:
    """Run emulators, functions, and fakes of SMS, e-mail and Discord on this machine, until Ctrl-C."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    wanted = check(bigquery)
    if not as_json:
        click.echo("starting emulators and functions ...", err=True)
    with running(wanted) as facts:
        if as_json:
            print_json(facts)
        else:
            show(facts)
        while not ended.wait(0.5):
            pass
    if not as_json:
        click.echo("stopped", err=True)


def check(bigquery: bool | None) -> bool:
    """Tell whether BigQuery's emulator is to run. Raises Failure that says what to install."""
    try:
        from emulators import bigquery as warehouse
        from emulators import google
    except ModuleNotFoundError as problem:
        raise Failure(missing("up", problem.name or "")) from None
    wanted = not warehouse.missing() if bigquery is None else bigquery
    needed = google.missing() + (warehouse.missing() if wanted else [])
    if needed:
        raise Failure(" ".join(needed))
    return wanted


@contextmanager
def running(bigquery: bool) -> Iterator[dict[str, Any]]:
    """Start everything, and yield its URLs and environment."""
    from emulators.fakes import DiscordFake, SmtpFake, TwilioFake
    from emulators.stack import Stack

    with ExitStack() as stack:
        twilio, discord = stack.enter_context(TwilioFake()), stack.enter_context(DiscordFake())
        smtp = stack.enter_context(SmtpFake())
        key = secrets.token_urlsafe(32)
        settings = {
            "STOPLINE_DEV_KEY": key,
            "STOPLINE_OPERATOR": json.dumps({"email": ["operator@example.com"]}),
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "test-token",
            "TWILIO_FROM": "+15005550006",
            "STOPLINE_TWILIO_URL": twilio.url,
            "SMTP_HOST": smtp.host,
            "SMTP_PORT": str(smtp.port),
            "SMTP_FROM": "stopline@example.com",
            "SMTP_STARTTLS": "0",
            "STOPLINE_DISCORD_URL": discord.url,
        }
        system = stack.enter_context(Stack())
        system.up(bigquery=bigquery, settings=settings)
        fakes = {"twilio": twilio.url, "discord": discord.url, "smtp": f"{smtp.host}:{smtp.port}"}
        yield facts_of(system, fakes, key)


def facts_of(system: "Stack", fakes: Mapping[str, str], key: str) -> dict[str, Any]:
    """Return what a person needs to work with a running stack."""
    return {
        "functions": dict(system.urls),
        "fakes": dict(fakes),
        "env": {
            **system.env,
            "KILL_SWITCH": system.urls["kill_switch"],
            "API": system.urls["api"],
            "STOPLINE_TOKEN": _token(key),
            "STOPLINE_DEV_KEY": key,
        },
        "logs": str(system.logs),
    }


def _token(key: str) -> str:
    """Return a token that lets its bearer do everything, for as long as one may be good."""
    from stopline.adapters.clock import SystemClock
    from stopline.runtime.auth import Principal
    from stopline.runtime.dev_tokens import LONGEST, issue

    return issue(key, Principal(name="local", rights=RIGHTS, accounts=("*",)), SystemClock().now(), LONGEST)


def show(facts: dict[str, Any]) -> None:
    """Print the facts for a person, in lines that a shell takes."""
    for group in ("functions", "fakes"):
        click.echo(f"# {group}")
        for name, url in facts[group].items():
            click.echo(f"#   {name:12} {url}")
    click.echo(f"# logs: {facts['logs']}")
    if "BIGQUERY_EMULATOR_HOST" not in facts["env"]:
        click.echo("# without BigQuery: rows for the history end as dead letters of topic history, and VaR,")
        click.echo(
            "#   correlation and the report's 30 days stay unknown; `make setup` installs its emulator"
        )
    click.echo("# for another terminal:")
    for name, value in facts["env"].items():
        click.echo(f"export {name}={value}")
    click.echo("#   stopline accounts create demo --capital 100000 --email you@example.com")
    click.echo("#   stopline status    # and stopline kill, pause, resume")
    click.echo("#   stopline token bob --right resume    # a second person")
    click.echo("# Ctrl-C ends it")
