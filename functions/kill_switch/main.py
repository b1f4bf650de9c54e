"""The kill switch: POST /kill, /pause, /resume, GET /status."""

import flask
import functions_framework

from stopline.runtime.loading import kept_for_good

with kept_for_good():
    from google.cloud import firestore  # noqa: F401 - before the port opens: no kill waits for the import

    from stopline.runtime.google import developer, identity, kill_app
    from stopline.runtime.kill_api import handle
    from stopline.runtime.problems import Answer
    from stopline.runtime.settings import settings


@functions_framework.http
def kill_switch(request: flask.Request) -> Answer:
    """Halt, pause or resume trading; persists first, then publishes."""
    return handle(request, kill_app, settings().principals, identity(), developer())
