"""GET and PATCH /v1/accounts/{account}/exits."""

import flask

from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.bodies import json_body
from stopline.runtime.problems import Answer, answer
from stopline.service.exits.desk import ExitPatch


def read(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer with an account's exits as stored now, and what holds for each open trade."""
    app.accounts.forget(name)
    return answer(200, app.exit_desk.facts(app.accounts.require(name)))


def change(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Change exits, or say what that would do, and answer with the trades that it concerns."""
    patch = validate(ExitPatch, json_body(request))
    return answer(200, app.exit_desk.change(name, patch, principal.name))
