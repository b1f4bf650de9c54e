"""What the HTTP fakes share: a server in a thread that records requests and follows its faults."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulators.fakes.faults import Fault, Recorder
from emulators.processes import HOST


@dataclass(frozen=True)
class Request:
    """A request as it arrived; `form` holds its fields, decoded from a form or from JSON."""

    at: datetime
    path: str
    headers: dict[str, str]
    form: dict[str, Any]
    accepted: bool


@dataclass(frozen=True)
class Reply:
    """An answer in JSON; an empty body is sent as none."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the service took the request."""
        return 200 <= self.status < 300


class HttpFake(Recorder[Request], ABC):
    """A fake on a free port of this machine; it runs until closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = itertools.count(1)
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The address to use in place of the real service's, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @abstractmethod
    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the fields of a body; raise ValueError where it is none of this service's."""

    @abstractmethod
    def usual(self, path: str, headers: Mapping[str, str], form: dict[str, Any]) -> Reply:
        """Return the service's answer to a request, refusals included."""

    @abstractmethod
    def failure(self, fault: Fault) -> Reply:
        """Return the service's answer under a fault, in its own words."""

    def close(self) -> None:
        """Stop, at once even where a request hangs."""
        super().close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, path: str, headers: dict[str, str], body: bytes) -> tuple[Reply, bool, float]:
        """Record a request and return the answer, whether to cut it off, and how slowly it drips without an end."""
        fault = self._take_fault()
        at = datetime.now(UTC)
        try:
            form = self.decode(body)
        except ValueError:
            form = {}
        usual = self.usual(path, headers, form)
        accepted = usual.ok and (fault is None or fault.accepted)
        self._record(Request(at, path, headers, form, accepted))
        if fault is None:
            return usual, False, 0
        if fault.hang_seconds:
            self.closing.wait(fault.hang_seconds)
        # A client that waits longer than the hang must not be told of a success that was none.
        cut = fault.cut or bool(fault.hang_seconds and not fault.accepted)
        return (self.failure(fault) if fault.status != 200 else usual), cut, fault.drip_seconds


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object that a body is; raise ValueError where it is none."""
    form = json.loads(body)
    if not isinstance(form, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return form


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, fake: HttpFake) -> None:
        super().__init__((HOST, 0), _Handler)
        self.fake = fake

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that gave up: they are what the faults are for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # One request per connection, so that closing never waits for an idle client.
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply, cut, drip = self.server.fake.handle(self.path, headers, body)
        content = json.dumps(reply.body).encode() if reply.body else b""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if drip:
            self._drip(drip)
            return
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) + cut))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _drip(self, every: float) -> None:
        """Send a header that does not end, until the client or the fake does."""
        self.flush_headers()
        self.wfile.write(b"X-Patience: ")
        while not self.server.fake.closing.wait(every):
            self.wfile.write(b".")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the record is what counts."""
