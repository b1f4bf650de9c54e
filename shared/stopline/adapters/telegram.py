"""Telegram by its bot API."""

import logging
import re
import threading
from typing import Any

from stopline.adapters.deadline import READ_S
from stopline.adapters.discord import json_object, seconds
from stopline.model.messages import Alert
from stopline.ports import ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import telegram_payload

_TOKEN = re.compile(r"[0-9]{5,20}:[A-Za-z0-9_-]{20,100}")
_UNKNOWN = "it may have been sent"


class TelegramChannel:
    """Sends alerts as messages of a bot. The bot's token is part of every address called: it is in no error and no
    log line of ours. `base_url` replaces the host, for a test.
    """

    name = "telegram"

    def __init__(self, token: str, *, base_url: str | None = None, timeout_s: float = READ_S) -> None:
        self._token = token
        self._base_url = (base_url or "https://api.telegram.org").rstrip("/")
        self._timeout_s = timeout_s
        self._session: Any = None
        self._lock = threading.Lock()
        logging.getLogger("urllib3.connectionpool").addFilter(_without_token)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Send one message to a chat. Raises ChannelRefused where the bot may not write there, else ChannelBusy."""
        from requests.exceptions import ConnectTimeout, RequestException

        if not _TOKEN.fullmatch(self._token):
            raise ChannelRefused("the bot's token is not one of Telegram")
        try:
            response = self._connected().post(
                f"{self._base_url}/bot{self._token}/sendMessage",
                json=telegram_payload(alert, zone, address, around),
                timeout=self._timeout_s,
                allow_redirects=False,
            )
            status, body = response.status_code, json_object(response)
        except ConnectTimeout:
            raise ChannelBusy("Telegram could not be reached") from None
        except RequestException as problem:  # its text holds the token
            raise ChannelBusy(f"Telegram did not answer ({type(problem).__name__}): {_UNKNOWN}") from None
        if status == 429:
            parameters = body.get("parameters")
            wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
            raise ChannelBusy("Telegram asks to wait (429)", retry_after_s=seconds(wait))
        if status >= 500 or status == 408:
            raise ChannelBusy(f"Telegram says {status}: {_UNKNOWN}")
        if not 200 <= status < 300:
            raise ChannelRefused(f"Telegram says {status}{_MEANING.get(status, '')}")
        result = body.get("result")
        id_ = result.get("message_id") if isinstance(result, dict) else None
        if not body.get("ok") or not id_:
            raise ChannelBusy(f"Telegram answered without an id: {_UNKNOWN}")
        return Receipt(str(id_), "sent")

    def _connected(self) -> Any:
        with self._lock:
            if self._session is None:
                import requests

                self._session = requests.Session()
            return self._session


_MEANING = {401: " (wrong token)", 403: " (the bot was blocked)", 404: " (wrong token)"}


def _without_token(record: logging.LogRecord) -> bool:
    """Keep the bot's token out of urllib3's debug lines."""
    text = record.getMessage()
    if "/bot" in text:
        record.msg, record.args = re.sub(r"/bot[0-9]+:[A-Za-z0-9_-]+", "/bot***", text), ()
    return True
