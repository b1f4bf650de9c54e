"""Mark every account at the latest prices and watch its limits (Pub/Sub push)."""

import flask
import functions_framework

from stopline.runtime.google import app
from stopline.runtime.push import Answer, push


@functions_framework.http
def on_prices(request: flask.Request) -> Answer:
    """Take one message of topic `prices`."""
    return push(request, "prices", app)
