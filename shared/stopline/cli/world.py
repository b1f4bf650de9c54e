"""The Stopline that the commands talk to: the project named by the environment, or what a test passes in."""

import getpass
import logging
import os
import re
from collections.abc import Callable

import click

from stopline.runtime.app import App
from stopline.runtime.ports import Ports
from stopline.runtime.settings import read_settings

World = Callable[[], App]


def app_of(ctx: click.Context) -> App:
    """Return the app behind a command: `ctx.obj` where a caller brought one, else the project's."""
    world = ctx.find_root().obj
    app = world() if callable(world) else open_app()
    assert isinstance(app, App)
    return app


def open_app() -> App:
    """Return an app over the project of the environment. Raises Rejected when none is named."""
    from stopline.adapters.bigquery import BigQueryHistory
    from stopline.adapters.firestore import FirestoreStore
    from stopline.adapters.pubsub import PubSubBus
    from stopline.runtime.google import clock

    chosen = read_settings(os.environ)
    logging.getLogger().setLevel(logging.ERROR)
    store = FirestoreStore(project=chosen.project, database=chosen.database)
    bus = PubSubBus(project=chosen.project, prefix=chosen.prefix)
    history = BigQueryHistory(project=chosen.project, dataset=chosen.dataset)  # connects when it is asked
    return App(
        Ports(
            store,
            bus,
            clock(chosen),
            history,
            operator=chosen.operator,
            operator_alerts=chosen.operator_alerts,
        )
    )


def actor() -> str:
    """Return who is at the keyboard, for the audit trail."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return "cli:" + (re.sub(r"[^A-Za-z0-9._-]", "-", name)[:64] or "unknown")
