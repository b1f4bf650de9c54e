"""The heartbeat that leaves the cloud: an https address that somebody watches from outside."""

import http.client
import ipaddress
import logging
import socket
import ssl
from urllib.parse import urlsplit

from stopline.adapters.deadline import READ_S, SEND_S, Deadline, TooManyStuck

_log = logging.getLogger(__name__)


class HttpBeacon:
    """Calls the address after each good round, and the address with `/fail` after a bad one, as healthchecks.io takes it.

    Only a public address is called: the name is resolved here, checked, and the connection goes to what was checked.
    Redirects are not followed, and what fails is logged and forgotten: a beacon must not stop a sweep.
    """

    def __init__(self, url: str, *, timeout_s: float = READ_S, send_s: float = SEND_S) -> None:
        self._parts = urlsplit(url)
        self._timeout_s = timeout_s
        self._deadline = Deadline(send_s)

    def beat(self, ok: bool) -> None:
        """Call once."""
        try:
            status = self._deadline.call(lambda: self._called(ok))
            if status >= 300:
                _log.warning("the heartbeat address answered %s", status)
        except (OSError, http.client.HTTPException, ValueError, TooManyStuck) as problem:
            _log.warning("the heartbeat address was not reached: %s", type(problem).__name__)

    def _called(self, ok: bool) -> int:
        host, port = self._parts.hostname or "", self._parts.port or 443
        connection = _Pinned(host, port, public_address(host, port), self._timeout_s)
        try:
            connection.request("GET", self._parts.path.rstrip("/") + ("" if ok else "/fail") or "/")
            return connection.getresponse().status
        finally:
            connection.close()


def public_address(host: str, port: int) -> str:
    """Return an address of a host. Raises ValueError unless all of them are public."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not found or not all(ipaddress.ip_address(a.partition("%")[0]).is_global for a in found):
        raise ValueError("not a public address")
    return sorted(found)[0]


class _Pinned(http.client.HTTPSConnection):
    """A connection to an address that was checked, under the name that its certificate must have."""

    def __init__(self, host: str, port: int, address: str, timeout_s: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._tls)
        self._address = address

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
