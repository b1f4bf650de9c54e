"""stopline quarantine: look at what was refused."""

import base64
from typing import Any

import click

from stopline.cli.failures import BadInput
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.times import utc_text
from stopline.ports import Document, Path
from stopline.runtime.app import App
from stopline.service.fills.quarantine import COLLECTION, printable
from stopline.service.fills.redrive import Redriver


@click.group()
def quarantine() -> None:
    """Look at messages that were refused and kept."""


@quarantine.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List refused messages, the oldest first."""
    found = refused_messages(app_of(ctx))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("nothing is in quarantine")
    else:
        heads = ("id", "kept at", "source", "reason", "detail", "status")
        rows = [[f[name.replace(" ", "_")] for name in heads] for f in found]
        console().print(table("quarantine", heads, rows))


@quarantine.command()
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, id_: str, as_json: bool) -> None:
    """Show the refused message ID as it came."""
    message = refused_message(app_of(ctx), id_)
    if as_json:
        print_json(message)
        return
    for name in ("id", "source", "reason", "detail", "kept_at", "status", "message_id", "item", "attributes"):
        click.echo(f"{name + ':':12}{printable(str(message[name]))}")
    cut = f", cut: the first {message['kept_bytes']} are kept" if message["is_cut"] else ""
    click.echo(f"{'message:':12}{message['bytes']} bytes{cut}\n{printable(message['text'])}")


@quarantine.command()
@click.argument("id_", metavar="ID")
@click.pass_context
def redrive(ctx: click.Context, id_: str) -> None:
    """Publish the refused message ID again, on record.

    After its account was created, for example.
    """
    click.echo(f"{id_} is {settle(app_of(ctx), id_, None)}; what is refused again is listed anew")


@quarantine.command()
@click.argument("id_", metavar="ID")
@click.option("--reason", required=True, help="Why it is given up: it goes on record.")
@click.pass_context
def drop(ctx: click.Context, id_: str, reason: str) -> None:
    """Give the refused message ID up for good. It stays readable, and goes on record."""
    click.echo(f"{id_} is {settle(app_of(ctx), id_, reason)}")


def settle(app: App, id_: str, drop_reason: str | None) -> str:
    """Redrive a refused message, or drop it with a reason; return its new status."""
    document = app.store.get(Path(COLLECTION, id_))
    raw = base64.b64decode(document.data["raw"]) if document else b""
    redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
    return redriver.settle_quarantined(id_, raw, actor(), drop_reason)


def refused_messages(app: App) -> list[dict[str, Any]]:
    """Return what is in quarantine as plain data, without the messages themselves."""
    documents = app.store.query(COLLECTION, order_by=["kept_at"])
    return [_facts(document) for document in documents]


def refused_message(app: App, id_: str) -> dict[str, Any]:
    """Return one refused message whole. Raises BadInput when there is none of that id."""
    document = app.store.get(Path(COLLECTION, id_))
    if document is None:
        raise BadInput(
            f"there is nothing in quarantine with id {id_!r}: `stopline quarantine list` shows what is"
        )
    data = document.data
    raw = base64.b64decode(data["raw"])
    return {
        **_facts(document),
        "message_id": data["message_id"],
        "item": data["item"],
        "attributes": data["attributes"],
        "bytes": data["bytes"],
        "kept_bytes": len(raw),
        "is_cut": len(raw) < data["bytes"],
        "text": raw.decode("utf-8", "backslashreplace"),
    }


def _facts(document: Document) -> dict[str, Any]:
    data = document.data
    names = ("source", "reason", "detail", "status")
    return {
        "id": document.path.id,
        "kept_at": utc_text(data["kept_at"]),
        **{name: data[name] for name in names},
    }
