"""The heartbeat that leaves the cloud: an https address that somebody watches from outside."""

import http.client
import ipaddress
import logging
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from stopline.adapters.deadline import READ_S, SEND_S, Deadline, TooManyStuck

_log = logging.getLogger(__name__)


class HttpBeacon:
    """Calls the address after each good round, and the address with `/fail` after a bad one, as healthchecks.io takes it.

    Only a public address is called: the name is resolved here, checked, and the connection goes to what was checked, to
    each address of it until one answers. Redirects are not followed, and what fails is logged and forgotten: a beacon must
    not stop a sweep.
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
        connection = _Pinned(host, port, public_addresses(host, port), self._timeout_s)
        try:
            connection.request("GET", self._parts.path.rstrip("/") + ("" if ok else "/fail") or "/")
            return connection.getresponse().status
        finally:
            connection.close()


def public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, IPv4 first: many networks have no IPv6. Raises ValueError unless all are public."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    parsed = {a: ipaddress.ip_address(a.partition("%")[0]) for a in found}
    if not found or not all(address.is_global for address in parsed.values()):
        raise ValueError("not a public address")
    return sorted(found, key=lambda a: (parsed[a].version, a))


class _Pinned(http.client.HTTPSConnection):
    """A connection to one of some addresses that were checked, under the name that its certificate must have."""

    def __init__(self, host: str, port: int, addresses: Sequence[str], timeout_s: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._tls)
        self._addresses, self._wait_s = addresses, timeout_s

    def connect(self) -> None:
        reached = self._reached()
        reached.settimeout(self._wait_s)
        self.sock = self._tls.wrap_socket(reached, server_hostname=self.host)

    def _reached(self) -> socket.socket:
        """Return a connection to the first address that takes one, each within its share of the time. Raises the OSError
        of the last.
        """
        share = self._wait_s / len(self._addresses)
        for address in self._addresses[:-1]:
            try:
                return socket.create_connection((address, self.port), share)
            except OSError as problem:
                _log.info("the heartbeat address %s was not reached: %s", address, type(problem).__name__)
        return socket.create_connection((self._addresses[-1], self.port), share)
