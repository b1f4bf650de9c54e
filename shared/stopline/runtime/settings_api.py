"""GET and PATCH /v1/accounts/{account}/settings."""

import flask

from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.bodies import json_body
from stopline.runtime.problems import Answer, answer
from stopline.service.accounts.settings import SettingsPatch, settings_facts


def read(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer with an account's settings as stored now."""
    app.accounts.forget(name)
    return answer(200, settings_facts(app.accounts.require(name)))


def change(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Change settings, and answer with those that hold; 202 where a second person must send the same first."""
    patch = validate(SettingsPatch, json_body(request))
    change = app.account_settings.change(name, patch, principal.name, principal.person or "")
    facts = settings_facts(change.account)
    if change.waits_for:
        return answer(202, {**facts, "waits_for_a_second_person": list(change.waits_for)})
    return answer(200, facts)
