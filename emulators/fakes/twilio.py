"""Twilio's REST API, as far as messages and calls go."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from emulators.fakes.faults import Fault
from emulators.fakes.http import HttpFake, Reply

_PATH = re.compile(r"/2010-04-01/Accounts/(?P<account>AC[0-9a-f]{32})/(?P<what>Messages|Calls)\.json")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST = 1600

# Twilio's own codes: https://www.twilio.com/docs/api/errors
_ERRORS = {
    401: (20003, "Authentication Error - invalid username"),
    404: (20404, "The requested resource was not found"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}


class TwilioFake(HttpFake):
    """Takes messages and calls; `client.api.base_url = fake.url` sends Twilio's own client here."""

    def __init__(self, account: str = "AC" + "0" * 32, token: str = "test-token") -> None:
        """Serve one account, or the key named `account` with the secret `token`."""
        self.account = account
        self.token = token
        super().__init__()

    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the fields of a form, each with its first value."""
        return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}

    def usual(self, path: str, headers: Mapping[str, str], form: dict[str, Any]) -> Reply:
        """Queue the message or the call."""
        match = _PATH.fullmatch(path)
        if match is None:
            return _error(404)
        expected = "Basic " + base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        if headers.get("authorization") != expected:
            return _error(401)
        to = form.get("To", "")
        if not _NUMBER.fullmatch(to):
            return _refusal(21211, f"The 'To' number {to} is not a valid phone number.")
        if not (form.get("From") or form.get("MessagingServiceSid")):
            return _refusal(21603, "A 'From' phone number is required.")
        now = format_datetime(datetime.now(UTC))
        account = match["account"]
        if match["what"] == "Messages":
            text = form.get("Body", "")
            if not text:
                return _refusal(21602, "Message body is required.")
            if len(text) > _LONGEST:
                return _refusal(
                    21617, f"The concatenated message body exceeds the {_LONGEST} character limit."
                )
            sid = self._sid("SM")
            body = {
                "sid": sid,
                "account_sid": account,
                "api_version": "2010-04-01",
                "body": text,
                "date_created": now,
                "date_sent": None,
                "date_updated": now,
                "direction": "outbound-api",
                "error_code": None,
                "error_message": None,
                "from": form.get("From"),
                "messaging_service_sid": form.get("MessagingServiceSid"),
                "num_media": "0",
                "num_segments": str(-(-len(text) // 160)),
                "price": None,
                "price_unit": "USD",
                "status": "queued",
                "subresource_uris": {
                    "media": f"/2010-04-01/Accounts/{account}/Messages/{sid}/Media.json",
                },
                "to": to,
                "uri": f"/2010-04-01/Accounts/{account}/Messages/{sid}.json",
            }
            return Reply(201, body)
        if not (form.get("Twiml") or form.get("Url") or form.get("ApplicationSid")):
            return _refusal(21205, "Url parameter is required.")
        sid = self._sid("CA")
        body = {
            "sid": sid,
            "account_sid": account,
            "answered_by": None,
            "api_version": "2010-04-01",
            "caller_name": None,
            "date_created": None,
            "date_updated": None,
            "direction": "outbound-api",
            "duration": None,
            "end_time": None,
            "from": form.get("From"),
            "from_formatted": form.get("From"),
            "price": None,
            "price_unit": "USD",
            "start_time": None,
            "status": "queued",
            "to": to,
            "to_formatted": to,
            "uri": f"/2010-04-01/Accounts/{account}/Calls/{sid}.json",
        }
        return Reply(201, body)

    def failure(self, fault: Fault) -> Reply:
        """Answer with Twilio's error for the status."""
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return _error(fault.status, headers)

    def _sid(self, prefix: str) -> str:
        return f"{prefix}{next(self.ids):032x}"


def _error(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    code, message = _ERRORS.get(status, (20000 + status, "Error"))
    return Reply(status, _problem(status, code, message), headers or {})


def _refusal(code: int, message: str) -> Reply:
    return Reply(400, _problem(400, code, message))


def _problem(status: int, code: int, message: str) -> dict[str, Any]:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": message, "more_info": more, "status": status}
