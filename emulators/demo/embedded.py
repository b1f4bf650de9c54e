"""The demo without emulators: the same use cases and handlers, in this process over memory."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

from emulators.broker_link import serve_embedded
from emulators.demo.backend import (
    ACCOUNT,
    OPERATOR,
    Caller,
    DemoFailed,
    Told,
    discord_text,
    principals,
)
from emulators.demo.questions import Question
from emulators.paper_broker import PaperBroker
from emulators.processes import HOST
from stopline.adapters.outbox_channel import Sent
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport
from stopline.rules.alerting.texts import discord_payload, email_parts
from stopline.runtime import kill_api, status_api
from stopline.runtime.app import App
from stopline.runtime.embedded import CHANNELS, Embedded
from stopline.runtime.problems import Answer

TOKEN = "embedded"  # noqa: S105 - of a server that ends with the demo and holds a made-up account


class EmbeddedBackend:
    """Stopline in this process, with its HTTP functions on a port of this machine."""

    history_name = "the history (in memory: sums in Python stand in for BigQuery)"

    def __init__(self, start: datetime, zone: str) -> None:
        self._embedded = Embedded(start, OPERATOR)
        self._zone = zone
        self.app: App = self._embedded.app
        self._server = make_server(HOST, 0, self._functions(), threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self._caller = Caller(TOKEN)

    def set_time(self, moment: datetime) -> None:
        self._embedded.clock.set(moment)

    def connect(self, broker: PaperBroker, publish: Callable[[Fill | ExecutionReport], object]) -> None:
        serve_embedded(broker, self._embedded.bus, self._embedded.clock, publish)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self._embedded.run()
        if not condition():
            faults = "; ".join(str(fault) for fault in self._embedded.bus.faults[-3:])
            raise DemoFailed(f"{what} did not happen. {faults}")

    def call(self, method: str, function: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._caller.call(method, f"http://{HOST}:{self._server.port}/{function}{path}", body)

    def told(self) -> list[Told]:
        sent = [message for name in CHANNELS for message in self._embedded.channels[name].sent]
        return [self._read(message) for message in sorted(sent, key=lambda message: message.alert.raised_at)]

    def ask(self, question: Question) -> list[dict[str, Any]]:
        return question.in_memory(self._embedded.history.latest(question.table), question.parameters)

    def kept(self, account: str, fills: int, snapshots: int) -> bool:
        return len(self._embedded.history.latest("fills")) == fills

    def stop(self) -> None:
        self._caller.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _read(self, sent: Sent) -> Told:
        zone = self._zone if sent.alert.account == ACCOUNT else "UTC"
        match sent.channel:
            case "email":
                subject, text, _ = email_parts(sent.alert, zone)
                return Told("email", sent.address, subject, text)
            case "discord":
                return Told("discord", "webhook", "", discord_text(discord_payload(sent.alert, zone)))
        return Told(sent.channel, sent.address, "", sent.text)

    def _functions(self) -> flask.Flask:
        server = flask.Flask("stopline")
        known = principals(TOKEN)

        @server.route("/kill_switch/<path:path>", methods=["GET", "POST"])
        def kill_switch(path: str) -> Answer:
            return kill_api.handle(_below(path), lambda: self.app, known)

        @server.route("/api/<path:path>", methods=["GET", "POST"])
        def api(path: str) -> Answer:
            return status_api.handle(_below(path), lambda: self.app, known)

        return server


def _below(path: str) -> flask.Request:
    """Return the request as a function that is served on its own sees it."""
    return flask.Request({**flask.request.environ, "PATH_INFO": f"/{path}"})


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Write nothing."""
