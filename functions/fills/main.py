"""Book the fills of brokers (Pub/Sub push)."""

import flask
import functions_framework

from stopline.runtime.google import app
from stopline.runtime.push import Answer, push


@functions_framework.http
def on_fills(request: flask.Request) -> Answer:
    """Take one message of topic `fills`."""
    return push(request, "fills", app)
