"""Two versions of the code at once (F46): tomorrow's keeps one thing more in the control documents."""

import orjson

from stopline.model.control import Control
from stopline.model.wire import canonical, validate
from stopline.ports import Data
from stopline.runtime.app import App
from stopline.service.documents.aggregate import WRITER, Aggregates
from stopline.service.trading.control_documents import ControlCodec

ADDED = "of_tomorrow"


class TomorrowCodec(ControlCodec):
    """A control with a field that today's version does not know."""

    def encode(self, state: Control) -> Data:
        data = super().encode(state)
        return {**data, "state": canonical({**orjson.loads(data["state"]), ADDED: True}).decode()}

    def decode(self, data: Data) -> Control:
        body = orjson.loads(data["state"])
        body.pop(ADDED, None)
        return validate(Control, body)


def of_tomorrow(app: App) -> App:
    """Make an instance one of tomorrow's version."""
    app.controls = Aggregates(app.store, app.relay, app.clock, TomorrowCodec(), writer=WRITER + 1)
    return app
