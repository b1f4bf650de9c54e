"""The HTTP API: GET /v1/accounts/{account} (status)."""

import flask
import functions_framework

from stopline.runtime.google import app, developer, identity
from stopline.runtime.problems import Answer
from stopline.runtime.settings import settings
from stopline.runtime.status_api import handle


@functions_framework.http
def api(request: flask.Request) -> Answer:
    """Answer what an account holds and where it stands."""
    return handle(request, app, settings().principals, identity(), developer())
