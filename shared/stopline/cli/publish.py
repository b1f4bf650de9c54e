"""stopline publish: put a message on a topic, as a broker, a feed or the scheduler does."""

from typing import Any

import click

from stopline.cli.failures import BadInput
from stopline.cli.show import print_json
from stopline.cli.world import app_of
from stopline.model.errors import Rejected
from stopline.model.times import utc_text
from stopline.model.wire import canonical, decode_object
from stopline.ports import Outgoing

MOMENT = {"fills": "executed_at", "prices": "as_of"}


@click.command()
@click.argument("topic", type=click.Choice(["fills", "prices", "sweeps"]))
@click.argument("file", type=click.File("rb"))
@click.option("--now", is_flag=True, help="As of this moment: a fill's executed_at, the as_of of prices.")
@click.option("--broker", help="The dialect of a broker's own message (default: Stopline's format).")
@click.option("--json", "as_json", is_flag=True, help="Print the message's id as JSON.")
@click.pass_context
def publish(ctx: click.Context, topic: str, file: Any, now: bool, broker: str | None, as_json: bool) -> None:
    """Publish the message in FILE (`-`: standard input) on TOPIC."""
    app, data = app_of(ctx), file.read()
    attributes = {"broker": broker} if broker else {}
    if not broker:
        data = _checked(
            topic, data, utc_text(app.clock.now()) if now else None, str(getattr(file, "name", "-"))
        )
    elif now:
        raise BadInput("--now is for messages in Stopline's format, not for a broker's own")
    [id_] = app.ports.bus.publish([Outgoing(topic, data, attributes)])
    if as_json:
        print_json({"topic": topic, "message_id": id_})
    else:
        click.echo(f"published on {topic}: message {id_}")


def _checked(topic: str, data: bytes, moment: str | None, name: str) -> bytes:
    """Return the message as it goes out. Raises BadInput where it is none at all; what it says the functions check."""
    try:
        value = decode_object(data)
    except Rejected as refused:
        raise BadInput(f"{name}: {refused.detail}") from None
    if moment is not None and topic in MOMENT:
        value[MOMENT[topic]] = moment
    return canonical(value)
