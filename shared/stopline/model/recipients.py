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


def _matches(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return BeforeValidator(check)


Phone = Annotated[str, _matches(_PHONE, "a phone number in E.164 form such as +14155550100")]
Email = Annotated[str, _matches(_EMAIL, "an e-mail address such as desk@example.com")]
Webhook = Annotated[
    str, _matches(_WEBHOOK, "a Discord webhook URL (https://discord.com/api/webhooks/ID/TOKEN)")
]


class Recipients(Message):
    """The people of an account, by channel. Discord webhooks are secrets: they are never logged or shown."""

    sms: tuple[Phone, ...] = Field(default=(), max_length=10)
    email: tuple[Email, ...] = Field(default=(), max_length=10)
    discord: tuple[Webhook, ...] = Field(default=(), max_length=10, repr=False)
