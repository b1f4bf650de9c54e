"""Who is told: strict addresses only, because an address is also an injection path."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stopline.model.wire import Message

_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,63}}@(?:{_LABEL}\.)+[A-Za-z]{{2,24}}")
_WEBHOOK = re.compile(
    r"https://(?:discord\.com|discordapp\.com)/api/webhooks/[0-9]{5,32}/[A-Za-z0-9_-]{10,100}"
)
_CHAT = re.compile(r"-?[1-9][0-9]{4,18}|@[A-Za-z][A-Za-z0-9_]{4,31}")
# Of Apprise's services those that live at one known host: a URL with a host of its own reaches into our network.
APPRISE_SCHEMES = (
    "slack", "pover", "pagerduty", "opsgenie", "splunk", "signl4", "ifttt", "pbul", "spush", "wxteams", "join", "zulip"
)  # fmt: skip
_APPRISE = re.compile(rf"(?:{'|'.join(APPRISE_SCHEMES)})://[A-Za-z0-9@:/_.~%+-]{{1,500}}")


def _matches(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return BeforeValidator(check)


Phone = Annotated[str, _matches(_PHONE, "a phone number in E.164 form such as +14155550100")]
Email = Annotated[str, _matches(_EMAIL, "an e-mail address such as desk@example.com")]
Chat = Annotated[str, _matches(_CHAT, "a Telegram chat id such as 123456789 or @channel")]
AppriseUrl = Annotated[
    str, _matches(_APPRISE, "an Apprise URL such as pover://USER@TOKEN, of a service in docs/alerts.md")
]
Webhook = Annotated[
    str, _matches(_WEBHOOK, "a Discord webhook URL (https://discord.com/api/webhooks/ID/TOKEN)")
]


class Recipients(Message):
    """The people of an account, by channel. `voice`: who is called; without any, the numbers of `sms`.

    Discord webhooks and Apprise URLs are secrets: they are never logged or shown.
    """

    sms: tuple[Phone, ...] = Field(default=(), max_length=10)
    voice: tuple[Phone, ...] = Field(default=(), max_length=10)
    email: tuple[Email, ...] = Field(default=(), max_length=10)
    discord: tuple[Webhook, ...] = Field(default=(), max_length=10, repr=False)
    telegram: tuple[Chat, ...] = Field(default=(), max_length=10)
    apprise: tuple[AppriseUrl, ...] = Field(default=(), max_length=10, repr=False)

    def without_secrets(self) -> dict[str, Any]:
        """Return it as plain data, with the number of secret addresses in their place."""
        plain = self.model_dump(mode="json")
        return plain | {"discord": len(self.discord), "apprise": len(self.apprise)}

    def joined(self, other: "Recipients") -> "Recipients":
        """Return the addresses of both, each once, ten of a channel at most."""
        mine, theirs = dict(self), dict(other)
        both = {name: tuple(dict.fromkeys((*mine[name], *theirs[name])))[:10] for name in mine}
        return self.model_copy(update=both)
