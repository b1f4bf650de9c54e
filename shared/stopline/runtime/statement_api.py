"""POST /v1/accounts/{account}/statement: what a broker says that the account holds, as topic `fills` takes it too."""

from typing import Any

import flask

from stopline.brokers import read_statement
from stopline.model.errors import Rejected
from stopline.model.times import utc_text
from stopline.model.wire import MAX_BYTES
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.bodies import json_body
from stopline.runtime.problems import Answer, answer

MOST_ATTRIBUTES = 16


def hand_in(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Keep the statement of `{"message": {...}, "attributes": {...}}`, a message's body and attributes, and have the account
    compared. `new` is false for one that is not newer than what is kept.
    """
    body = json_body(request, MAX_BYTES)
    message, given = body.get("message"), body.get("attributes", {})
    if not isinstance(message, dict) or body.keys() - {"message", "attributes"}:
        raise Rejected("BAD_MESSAGE", "the body holds `message`, a statement, and `attributes` of it")
    statement = read_statement(message, {**_attributes(given), "account": name})
    if statement is None:
        raise Rejected("BAD_MESSAGE", "the message tells no positions: fills are published on topic `fills`")
    if statement.account != name:
        raise Rejected("CONTRADICTION", f"the statement is of account {statement.account}, not of {name}")
    is_new = app.statement_recorder.record(statement)
    told = {
        "statement_id": statement.statement_id,
        "broker": statement.broker,
        "as_of": utc_text(statement.as_of),
        "positions": len(statement.positions),
        "unread": list(statement.unread),
        "complete": statement.tells_all,
        "new": is_new,
    }
    return answer(200, told)


def _attributes(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > MOST_ATTRIBUTES:
        raise Rejected("BAD_ATTRIBUTE", f"attributes must be an object of up to {MOST_ATTRIBUTES} texts")
    if any(not isinstance(value, str) or len(value) > 1024 for value in given.values()):
        raise Rejected("BAD_ATTRIBUTE", "an attribute must be a text of up to 1024 characters")
    return given
