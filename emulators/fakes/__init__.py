"""Stand-ins for the services that alerts go to: each records what arrived and can be told to misbehave."""

from emulators.fakes.discord import DiscordFake
from emulators.fakes.faults import (
    Fault,
    cut_off,
    drips,
    fails,
    fails_after_accepting,
    gone,
    hangs,
    rate_limited,
)
from emulators.fakes.http import Request
from emulators.fakes.smtp import Mail, SmtpFake
from emulators.fakes.telegram import TelegramFake
from emulators.fakes.twilio import TwilioFake

__all__ = [
    "DiscordFake",
    "Fault",
    "Mail",
    "Request",
    "SmtpFake",
    "TelegramFake",
    "TwilioFake",
    "cut_off",
    "drips",
    "fails",
    "fails_after_accepting",
    "gone",
    "hangs",
    "rate_limited",
]
