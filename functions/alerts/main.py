"""Deliver alerts to people (Pub/Sub push)."""

import flask
import functions_framework

from stopline.runtime.google import alerts_app
from stopline.runtime.push import Answer, push


@functions_framework.http
def on_alert(request: flask.Request) -> Answer:
    """Take one message of topic `alerts`."""
    return push(request, "alerts", alerts_app)
