"""Run the scheduled rounds (Pub/Sub push)."""

import flask
import functions_framework

from stopline.runtime.google import history_app
from stopline.runtime.push import Answer, push


@functions_framework.http
def on_sweep(request: flask.Request) -> Answer:
    """Take one message of topic `sweeps`."""
    return push(request, "sweeps", history_app)
