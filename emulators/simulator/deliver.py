"""How a delivery gets to a function: as its envelope, or in some schedules the whole way, as Pub/Sub's push request."""

import base64
import io

import flask

from emulators.simulator.world import Delivery, Violated
from stopline.model.errors import Transient
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.runtime.app import App
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import handle
from stopline.runtime.push import push

PUSHED = 10  # of so many schedules one: a push request costs ten times as much to read as an envelope

SUBSCRIPTIONS = "projects/simulated/subscriptions/"


class NotAcknowledged(Transient):
    """A push request was answered so that Pub/Sub sends it again."""


def receive(app: App, source: str, delivery: Delivery, is_pushed: bool) -> None:
    """Have a function take a delivery; raise what it is not acknowledged for."""
    if is_pushed:
        _push(app, source, delivery)
        return
    message = delivery.message
    envelope = Envelope(
        message.data, delivery.id, message.attributes, delivery.published_at, source, delivery.attempts
    )
    handle(app, source, envelope)


def _push(app: App, source: str, delivery: Delivery) -> None:
    _, status = push(flask.Request(_environ(_body(delivery))), source, lambda: app)
    if status == 503:
        raise NotAcknowledged(f"{source} answered 503")
    if status != 204:
        raise Violated(f"I11 {source} knows what it raises: it answered {status}")


def _body(delivery: Delivery) -> bytes:
    message = delivery.message
    pushed = {
        "data": base64.b64encode(message.data).decode(),
        "attributes": dict(message.attributes),
        "messageId": delivery.id,
        "publishTime": utc_text(delivery.published_at),
    }
    subscription = f"{SUBSCRIPTIONS}{delivery.name}-push"
    return canonical({"message": pushed, "subscription": subscription, "deliveryAttempt": delivery.attempts})


def _environ(body: bytes) -> dict[str, object]:
    return {
        "REQUEST_METHOD": "POST",
        "SERVER_NAME": "simulated",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
