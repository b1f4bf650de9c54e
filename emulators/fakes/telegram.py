"""Telegram's bot API, as far as `sendMessage` goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from emulators.fakes.faults import Fault
from emulators.fakes.http import HttpFake, Reply, json_object

_PATH = re.compile(r"/bot(?P<token>[0-9]+:[A-Za-z0-9_-]+)/sendMessage")
_LONGEST = 4096  # characters after entities
_TAGS = frozenset({"a", "b", "code", "i", "pre", "s", "u"})
# As the API words them: https://core.telegram.org/bots/api#making-requests
_WORDS = {
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    429: "Too Many Requests: retry after {0:g}",
}


class TelegramFake(HttpFake):
    """Takes messages of one bot; `TelegramChannel(token, base_url=fake.url)` sends here."""

    def __init__(self, token: str = "123456789:AAtest-token-of-a-bot-that-is-none") -> None:
        """Serve the bot of this token; every other one is unknown."""
        self.token = token
        super().__init__()

    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the JSON object of the body."""
        return json_object(body)

    def usual(self, path: str, headers: Mapping[str, str], form: dict[str, Any]) -> Reply:
        """Send the message, where its HTML can be parsed and is not too long."""
        match = _PATH.fullmatch(path)
        if match is None or match["token"] != self.token:
            return _error(404 if match is None else 401)
        text = form.get("text")
        if not isinstance(text, str) or not form.get("chat_id"):
            return _refusal("Bad Request: message text is empty")
        parsed = _Parsed()
        parsed.feed(text)
        parsed.close()
        if parsed.fault or parsed.open:
            return _refusal(f"Bad Request: can't parse entities: {parsed.fault or 'no end tag'}")
        if not parsed.text.strip() or len(parsed.text.encode("utf-16-le")) // 2 > _LONGEST:
            return _refusal("Bad Request: message is too long" if parsed.text.strip() else "text is empty")
        result = {
            "message_id": next(self.ids),
            "date": int(datetime.now(UTC).timestamp()),
            "chat": {"id": form["chat_id"], "type": "private"},
            "text": parsed.text,
        }
        return Reply(200, {"ok": True, "result": result})

    def failure(self, fault: Fault) -> Reply:
        """Answer with Telegram's error for the status."""
        return _error(fault.status, fault.retry_after)


class _Parsed(HTMLParser):
    """The text of a message, and what is wrong with its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.fault = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag not in _TAGS:
            self.fault = f'Unsupported start tag "{tag}"'

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.fault = f'Unmatched end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        self.text += data


def _error(status: int, retry_after: float | None = None) -> Reply:
    words = _WORDS.get(status, "Internal Server Error").format(retry_after or 0)
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": words}
    if retry_after is not None:
        body["parameters"] = {"retry_after": retry_after}
    return Reply(status, body)


def _refusal(words: str) -> Reply:
    return Reply(400, {"ok": False, "error_code": 400, "description": words})
