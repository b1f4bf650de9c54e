"""Keep history in BigQuery (Pub/Sub push)."""

import flask
import functions_framework

from stopline.runtime.google import history_app
from stopline.runtime.push import Answer, push


@functions_framework.http
def on_history(request: flask.Request) -> Answer:
    """Take one message of topic `history`."""
    return push(request, "history", history_app)
