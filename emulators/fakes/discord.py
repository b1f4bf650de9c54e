"""Discord's webhooks, with the limits that a message meets there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from emulators.fakes.faults import Fault
from emulators.fakes.http import HttpFake, Reply, json_object

_PATH = re.compile(r"/api(?:/v\d+)?/webhooks/(?P<id>\d+)/(?P<token>[\w-]+)")
_CONTENT, _EMBEDS, _TOTAL, _FIELDS = 2000, 10, 6000, 25
_TEXT = {"title": 256, "description": 4096}
_FIELD = {"name": 256, "value": 1024}
_FOOTER, _AUTHOR = 2048, 256


class DiscordFake(HttpFake):
    """Takes messages for one webhook, whose address is `webhook`."""

    def __init__(self, webhook_id: str = "1000000000000000001", token: str = "test-webhook-token") -> None:
        """Serve the webhook of this id and token; every other one is unknown."""
        self._id = webhook_id
        self._token = token
        super().__init__()

    @property
    def webhook(self) -> str:
        """The address that a person would copy from a channel's settings."""
        return f"{self.url}/api/webhooks/{self._id}/{self._token}"

    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the JSON object of the body."""
        return json_object(body)

    def usual(self, path: str, headers: Mapping[str, str], form: dict[str, Any]) -> Reply:
        """Post the message: 204, or the message itself with `wait=true`."""
        parts = urlsplit(path)
        match = _PATH.fullmatch(parts.path)
        if match is None:
            return Reply(404, {"message": "404: Not Found", "code": 0})
        if match["id"] != self._id:
            return self.failure(Fault(status=404))
        if match["token"] != self._token:
            return Reply(401, {"message": "Invalid Webhook Token", "code": 50027})
        if not (form.get("content") or form.get("embeds")):
            return Reply(400, {"message": "Cannot send an empty message", "code": 50006})
        errors = _too_long(form)
        if errors:
            return Reply(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})
        limits = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "2"}
        if parse_qs(parts.query).get("wait") != ["true"]:
            return Reply(204, headers=limits)
        body = {
            "id": str(1_300_000_000_000_000_000 + next(self.ids)),
            "type": 0,
            "content": form.get("content", ""),
            "channel_id": "1200000000000000000",
            "webhook_id": self._id,
            "author": {"id": self._id, "username": form.get("username", "Stopline"), "bot": True},
            "embeds": form.get("embeds", []),
            "attachments": [],
            "mentions": [],
            "mention_roles": [],
            "mention_everyone": False,
            "pinned": False,
            "tts": bool(form.get("tts", False)),
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "flags": 0,
            "components": [],
        }
        return Reply(200, body, limits)

    def failure(self, fault: Fault) -> Reply:
        """Answer with Discord's error for the status."""
        if fault.status == 429:
            wait = fault.retry_after if fault.retry_after is not None else 1.0
            headers = {
                "Retry-After": f"{wait:g}",
                "X-RateLimit-Limit": "5",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset-After": f"{wait:g}",
                "X-RateLimit-Scope": "user",
            }
            body = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
            return Reply(429, body, headers)
        if fault.status == 404:
            return Reply(404, {"message": "Unknown Webhook", "code": 10015})
        return Reply(fault.status, {"message": f"{fault.status}: Internal Server Error", "code": 0})


def _too_long(form: dict[str, Any]) -> dict[str, Any]:
    errors: dict[str, Any] = {}

    def check(where: str, text: object, limit: int) -> int:
        if not isinstance(text, str) or len(text) > limit:
            message = f"Must be {limit} or fewer in length."
            errors[where] = {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": message}]}
        return len(text) if isinstance(text, str) else 0

    check("content", form.get("content") or "", _CONTENT)
    embeds = form.get("embeds") or []
    if len(embeds) > _EMBEDS:
        errors["embeds"] = {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 10 or fewer."}]}
    total = 0
    for at, embed in enumerate(embeds):
        here = f"embeds.{at}"
        total += sum(check(f"{here}.{key}", embed.get(key) or "", most) for key, most in _TEXT.items())
        total += check(f"{here}.footer", (embed.get("footer") or {}).get("text") or "", _FOOTER)
        total += check(f"{here}.author", (embed.get("author") or {}).get("name") or "", _AUTHOR)
        fields = embed.get("fields") or []
        if len(fields) > _FIELDS:
            message = f"Must be {_FIELDS} or fewer in length."
            errors[f"{here}.fields"] = {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": message}]}
        for number, one in enumerate(fields):
            for key, most in _FIELD.items():
                total += check(f"{here}.fields.{number}.{key}", one.get(key) or "", most)
    if total > _TOTAL:
        message = "Embed size exceeds maximum size of 6000"
        errors["embeds"] = {"_errors": [{"code": "MAX_EMBED_SIZE_EXCEEDED", "message": message}]}
    return errors
