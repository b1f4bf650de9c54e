"""What the demo runs on: all that the story needs, be Stopline on emulators or in this process."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import requests

from emulators.demo.questions import Question
from emulators.paper_broker import PaperBroker
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport
from stopline.model.settings.recipients import Recipients
from stopline.runtime.app import App

ACCOUNT = "demo"
TRADER = Recipients(
    sms=("+14155550100",),
    email=("trader@example.com",),
    discord=("https://discord.com/api/webhooks/1000000000000000001/test-webhook-token",),
)
_ESCAPED = re.compile(r"\\(.)")
OPERATOR = Recipients(email=("operator@example.com",))


class DemoFailed(Exception):
    """Something that the demo shows did not happen; the message says what."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message as its reader got it."""

    channel: str
    to: str
    title: str
    text: str


class Backend(Protocol):
    """A running Stopline. `app` sees the same store and bus as its functions do."""

    history_name: str
    app: App

    def set_time(self, moment: datetime) -> None:
        """Move the time of every part."""

    def connect(self, broker: PaperBroker, publish: Callable[[Fill | ExecutionReport], object]) -> None:
        """Let a broker carry out what is published on `orders`."""

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Return when a condition holds; raise DemoFailed when it does not come to."""

    def call(self, method: str, function: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call an HTTP function as the trader; return its JSON answer."""

    def told(self) -> list[Told]:
        """Return the messages that people got, oldest first."""

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """Put a question to the history."""

    def kept(self, account: str, fills: int, snapshots: int) -> bool:
        """Tell whether the history has caught up: so many fills and snapshots, and the end of the closing."""

    def stop(self) -> None:
        """End every part."""


class Caller:
    """An HTTP client with the trader's token."""

    def __init__(self, token: str) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        """Send one request; raise DemoFailed on any other status than 2xx."""
        answer = self._session.request(method, url, json=body, timeout=30)
        if not answer.ok:
            raise DemoFailed(f"{method} {url} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def principals(token: str) -> dict[str, object]:
    """Return who may call the HTTP functions: the trader, for this account only."""
    trader = {"name": "trader", "rights": ["view", "kill"], "accounts": [ACCOUNT]}
    return {hashlib.sha256(token.encode()).hexdigest(): trader}


def discord_text(payload: Mapping[str, Any]) -> str:
    """Return a Discord message as its reader sees it: the line, and the fields of its card."""
    lines = [str(payload.get("content", ""))]
    for embed in payload.get("embeds", []):
        lines += [f"  {field['name']}: {field['value']}" for field in embed.get("fields", [])]
    return _ESCAPED.sub(r"\1", "\n".join(lines).replace("**", "")).replace("\u200b", "")
