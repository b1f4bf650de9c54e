"""stopline dead-letters: look at messages that were given up; bring them back or drop them."""

import os
from collections.abc import Sequence
from typing import Any

import click

from stopline.adapters.dead_letters import DeadLetter, DeadLetters
from stopline.cli.failures import Failure
from stopline.cli.show import console, print_json, table
from stopline.cli.world import actor, app_of
from stopline.model.times import utc_text
from stopline.runtime.settings import read_settings
from stopline.service.fills.quarantine import printable
from stopline.service.fills.redrive import Redriver, Returned

TOPICS = ("fills", "prices", "sweeps", "alerts", "orders", "history")
MOST = 1000  # letters that are taken at once
HELD_FOR = 20  # letters: they are done well within the minute that all are held
_TOPIC = click.argument("topic", type=click.Choice(TOPICS))
_IDS = click.argument("ids", nargs=-1, metavar="[ID]...")
_ALL = click.option("--all", "every", is_flag=True, help="All of the topic, 1,000 at most.")


@click.group(name="dead-letters")
def dead_letters() -> None:
    """Look at messages that were given up; bring them back or drop them."""


@dead_letters.command(name="list")
@click.option("--topic", type=click.Choice(TOPICS), help="Of this topic only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(topic: str | None, as_json: bool) -> None:
    """List dead letters, the oldest of each topic first."""
    box = _box()
    found: list[DeadLetter] = []
    for name in [topic] if topic else TOPICS:
        letters = box.take(name, MOST)
        box.release(letters)
        found += letters
        if len(letters) == MOST:
            click.echo(f"there may be more of {name}: {MOST} are shown", err=True)
    facts = [_facts(letter) for letter in found]
    if as_json:
        print_json(facts)
    elif not facts:
        click.echo("there are no dead letters")
    else:
        heads = ("topic", "id", "published_at", "attempts", "bytes")
        console().print(table("dead letters", heads, [[str(f[h]) for h in heads] for f in facts]))


@dead_letters.command()
@_TOPIC
@click.argument("id_", metavar="ID")
def show(topic: str, id_: str) -> None:
    """Show the dead letter ID of TOPIC as it came."""
    box = _box()
    letters = box.take(topic, MOST)
    box.release(letters)
    [letter] = _chosen(letters, [id_], False)
    for name, value in {**_facts(letter), "attributes": dict(letter.attributes)}.items():
        click.echo(f"{name + ':':14}{printable(str(value))}")
    click.echo(printable(letter.data.decode("utf-8", "backslashreplace")))


@dead_letters.command()
@_TOPIC
@_IDS
@_ALL
@click.pass_context
def redrive(ctx: click.Context, topic: str, ids: tuple[str, ...], every: bool) -> None:
    """Publish dead letters of TOPIC again, each one on record.

    Then they are off the list.
    """
    _settle(ctx, topic, ids, every, None)


@dead_letters.command()
@_TOPIC
@_IDS
@_ALL
@click.option("--reason", required=True, help="Why they are given up: it goes on record.")
@click.pass_context
def drop(ctx: click.Context, topic: str, ids: tuple[str, ...], every: bool, reason: str) -> None:
    """Give dead letters of TOPIC up for good, each one on record."""
    _settle(ctx, topic, ids, every, reason)


def _settle(ctx: click.Context, topic: str, ids: Sequence[str], every: bool, reason: str | None) -> None:
    app, box = app_of(ctx), _box()
    redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
    letters = box.take(topic, MOST)
    more = "; there may be more" if len(letters) == MOST else ""
    try:
        done = 0
        chosen = _chosen(letters, ids, every)
        try:
            for letter in chosen:
                if done % HELD_FOR == 0:
                    box.hold(letters)
                message = Returned(topic, letter.id, letter.data, letter.attributes)
                if reason is None:
                    redriver.redrive(message, actor())
                else:
                    redriver.drop(message, actor(), reason)
                box.remove([letter])
                letters.remove(letter)
                done += 1
        finally:  # whatever happens, who waits is told what was done
            click.echo(f"{done} {'redriven' if reason is None else 'dropped'}, {len(letters)} left{more}")
    finally:
        box.release(letters)


def _chosen(letters: Sequence[DeadLetter], ids: Sequence[str], every: bool) -> list[DeadLetter]:
    if every == bool(ids):
        raise click.UsageError("name the ids, or say --all")
    ids = list(dict.fromkeys(ids))
    known = {letter.id: letter for letter in letters}
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        raise Failure(
            f"there is no dead letter {missing[0]!r} here now: `stopline dead-letters list` shows what is"
        )
    return list(letters) if every else [known[id_] for id_ in ids]


def _box() -> DeadLetters:
    chosen = read_settings(os.environ)
    return DeadLetters(chosen.project, chosen.prefix)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return {
        "topic": letter.topic,
        "id": letter.id,
        "published_at": utc_text(letter.published_at),
        "attempts": letter.attempts,
        "bytes": len(letter.data),
    }
