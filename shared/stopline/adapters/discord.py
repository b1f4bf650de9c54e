"""Discord by webhook."""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from stopline.adapters.deadline import READ_S
from stopline.model.messages import Alert
from stopline.ports import ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import discord_payload

_WEBHOOK = re.compile(
    r"https://(?:discord\.com|discordapp\.com)(/api/webhooks/[0-9]{5,32}/[A-Za-z0-9_-]{10,100})"
)
_UNKNOWN = "it may have been posted"


class DiscordChannel:
    """Posts alerts to webhooks. A webhook's address is a secret: it is in no error and no log line of ours.

    Only addresses of Discord itself are called, without following redirects. `base_url` replaces the
    host, for a test. Accounts may share a webhook: what Discord says of its room holds for all messages to it, and until
    there is room again this instance asks no more. Other instances are told by Discord itself.
    """

    name = "discord"

    def __init__(
        self,
        *,
        base_url: str | None = None,
        timeout_s: float = READ_S,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = (base_url or "https://discord.com").rstrip("/")
        self._timeout_s = timeout_s
        self._ticks = ticks
        self._full: dict[str, float] = {}  # until when, by the path of a webhook; of all: without one
        self._session: Any = None
        self._lock = threading.Lock()
        logging.getLogger("urllib3.connectionpool").addFilter(_without_token)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Post one message. Raises ChannelRefused when there is no such webhook, else ChannelBusy."""
        from requests.exceptions import ConnectTimeout, RequestException

        match = _WEBHOOK.fullmatch(address)
        if match is None:
            raise ChannelRefused("the address is not a Discord webhook")
        self._wait_for_room(match[1])
        try:
            response = self._connected().post(
                self._base_url + match[1],
                params={"wait": "true"},
                json=discord_payload(alert, zone, around),
                timeout=self._timeout_s,
                allow_redirects=False,
            )
            status, body = response.status_code, json_object(response)
        except ConnectTimeout:
            raise ChannelBusy("Discord could not be reached") from None
        except RequestException as problem:  # its text holds the address
            raise ChannelBusy(f"Discord did not answer ({type(problem).__name__}): {_UNKNOWN}") from None
        if status == 429:
            wait = seconds(body.get("retry_after"), response.headers.get("Retry-After"))
            self._note_full("" if body.get("global") is True else match[1], wait)
            raise ChannelBusy("Discord asks to wait (429)", retry_after_s=wait)
        self._note_full(match[1], _until_room(response.headers))
        if status >= 500 or status == 408:
            raise ChannelBusy(f"Discord says {status}: {_UNKNOWN}")
        if not 200 <= status < 300:
            raise ChannelRefused(f"Discord says {status}{' (the webhook was deleted)' * (status == 404)}")
        if not body.get("id"):
            raise ChannelBusy(f"Discord answered without an id: {_UNKNOWN}")
        return Receipt(str(body["id"]), "posted")

    def _wait_for_room(self, webhook: str) -> None:
        """Raise ChannelBusy while Discord takes nothing for a webhook: one more request would only be refused."""
        with self._lock:
            until = max(self._full.get(webhook, 0.0), self._full.get("", 0.0))
        if (left := until - self._ticks()) > 0:
            raise ChannelBusy("Discord has asked to wait", retry_after_s=left)

    def _note_full(self, webhook: str, wait: float | None) -> None:
        """Remember for how long Discord takes no more; what is over is forgotten."""
        now = self._ticks()
        with self._lock:
            self._full = {path: until for path, until in self._full.items() if until > now}
            if wait:
                self._full[webhook] = max(now + wait, self._full.get(webhook, 0.0))

    def _connected(self) -> Any:
        with self._lock:
            if self._session is None:
                import requests

                self._session = requests.Session()
            return self._session


def _until_room(headers: Mapping[str, str]) -> float | None:
    """Return after how many seconds a webhook takes the next message, where it takes no more now."""
    if headers.get("X-RateLimit-Remaining") != "0":
        return None
    return seconds(headers.get("X-RateLimit-Reset-After"))


def json_object(response: Any) -> dict[str, Any]:
    """Return the JSON object of an answer, empty where it is none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def seconds(*candidates: object) -> float | None:
    """Return the first candidate that is a number of seconds, or None."""
    for value in candidates:
        try:
            wait = float(str(value))
        except ValueError:
            continue
        if 0 <= wait < 1e9:
            return wait
    return None


def _without_token(record: logging.LogRecord) -> bool:
    """Keep webhook tokens out of urllib3's debug lines."""
    text = record.getMessage()
    if "/webhooks/" in text:
        record.msg, record.args = re.sub(r"(/webhooks/[0-9]+/)[A-Za-z0-9_-]+", r"\1***", text), ()
    return True
