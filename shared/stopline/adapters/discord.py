"""Discord by webhook."""

import logging
import re
import threading
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
    host, for a test.
    """

    name = "discord"

    def __init__(self, *, base_url: str | None = None, timeout_s: float = READ_S) -> None:
        self._base_url = (base_url or "https://discord.com").rstrip("/")
        self._timeout_s = timeout_s
        self._session: Any = None
        self._lock = threading.Lock()
        logging.getLogger("urllib3.connectionpool").addFilter(_without_token)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Post one message. Raises ChannelRefused when there is no such webhook, else ChannelBusy."""
        from requests.exceptions import ConnectTimeout, RequestException

        match = _WEBHOOK.fullmatch(address)
        if match is None:
            raise ChannelRefused("the address is not a Discord webhook")
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
            raise ChannelBusy("Discord asks to wait (429)", retry_after_s=wait)
        if status >= 500 or status == 408:
            raise ChannelBusy(f"Discord says {status}: {_UNKNOWN}")
        if not 200 <= status < 300:
            raise ChannelRefused(f"Discord says {status}{' (the webhook was deleted)' * (status == 404)}")
        if not body.get("id"):
            raise ChannelBusy(f"Discord answered without an id: {_UNKNOWN}")
        return Receipt(str(body["id"]), "posted")

    def _connected(self) -> Any:
        with self._lock:
            if self._session is None:
                import requests

                self._session = requests.Session()
            return self._session


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
