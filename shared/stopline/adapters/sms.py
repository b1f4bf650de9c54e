"""SMS and calls by Twilio."""

import logging
import threading
from typing import Any

from stopline.adapters.deadline import READ_S
from stopline.model.messages import Alert
from stopline.ports import ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import call_twiml, sms_text

# Twilio's client writes eight lines for each message at INFO.
_QUIET = logging.getLogger("stopline.twilio")
_QUIET.setLevel(logging.WARNING)

_UNKNOWN = "it may have been sent"


class SmsChannel:
    """Sends alerts as SMS. `sender` is a phone number in E.164 form or a messaging service (`MG...`).

    Twilio has no idempotency key for messages: after a time-out or a 5xx nobody knows whether the SMS went
    out, so the try that follows may be one SMS too many.
    """

    name = "sms"

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        base_url: str | None = None,
        timeout_s: float = READ_S,
    ) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._sender = sender
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._lock = threading.Lock()

    def _create(self, address: str, alert: Alert, zone: str, around: Around) -> Any:
        route = {"messaging_service_sid" if self._sender.startswith("MG") else "from_": self._sender}
        return self._connected().messages.create(to=address, body=sms_text(alert, zone, around), **route)

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Send one message. Raises ChannelRefused for opted-out and impossible numbers, else ChannelBusy."""
        from requests.exceptions import ConnectTimeout, RequestException
        from twilio.base.exceptions import TwilioException

        try:
            message = self._create(address, alert, zone, around)
        except TwilioException as problem:
            raise _judged(problem) from None
        except ConnectTimeout:
            raise ChannelBusy("Twilio could not be reached") from None
        except (RequestException, ValueError) as problem:  # ValueError: an answer that is not JSON
            raise ChannelBusy(f"Twilio did not answer ({type(problem).__name__}): {_UNKNOWN}") from None
        if not message.sid:
            raise ChannelBusy(f"Twilio answered without an id: {_UNKNOWN}")
        if message.status in ("failed", "undelivered", "canceled"):
            code = getattr(message, "error_code", None)  # a call has none
            raise ChannelRefused(f"Twilio says {message.status}, error {code}")
        return Receipt(message.sid, str(message.status))

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                from twilio.http.http_client import TwilioHttpClient
                from twilio.rest import Client

                http = TwilioHttpClient(timeout=self._timeout_s, logger=_QUIET)
                self._client = Client(self._account_sid, self._auth_token, http_client=http)
                if self._base_url:
                    self._client.api.base_url = self._base_url.rstrip("/")
            return self._client


class VoiceChannel(SmsChannel):
    """Calls people and reads the alert out, twice. `sender` must be a phone number."""

    name = "voice"

    def _create(self, address: str, alert: Alert, zone: str, around: Around) -> Any:
        calls = self._connected().calls
        return calls.create(to=address, from_=self._sender, twiml=call_twiml(alert, zone, around), timeout=30)


def _judged(problem: Any) -> ChannelRefused | ChannelBusy:
    """Turn Twilio's error into ours. A wrong number, sender or password stays wrong: use another channel."""
    status, code = int(getattr(problem, "status", 0) or 0), getattr(problem, "code", None)
    if status == 429 or code == 20429:
        return ChannelBusy("Twilio asks to wait (429)")
    if status in (408, 409, 425):
        return ChannelBusy(f"Twilio says {status}, error {code}")
    if 400 <= status < 500:
        return ChannelRefused(f"Twilio says {status}, error {code}{_MEANING.get(code or 0, '')}")
    return ChannelBusy(f"Twilio says {status}, error {code}: {_UNKNOWN}")


_MEANING = {
    20003: " (wrong credentials)",
    21211: " (not a phone number)",
    21408: " (the country is not enabled)",
    21606: " (the sender cannot send SMS)",
    21608: " (a trial account, and the number is not verified)",
    21610: " (the number has opted out)",
    21612: " (the sender cannot reach this number)",
    21614: " (not a mobile number)",
}
