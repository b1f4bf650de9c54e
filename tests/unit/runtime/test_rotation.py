"""F60: a secret that is rotated or cannot be read: used within five minutes, then its channel is off and others tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from stopline.runtime.google import channels
from stopline.runtime.rotation import KEPT, Rotating, Secrets
from stopline.runtime.settings import read_settings

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)
ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_FROM": "+15005550006",
    "TWILIO_AUTH_TOKEN_FILE": "/secrets/twilio",
}


class Files:
    """One secret in a file, which can go away."""

    def __init__(self) -> None:
        self.text = "first\n"
        self.gone = False
        self.reads = 0

    def read(self, name: str) -> str:
        assert name == "/secrets/twilio"
        self.reads += 1
        if self.gone:
            raise OSError("permission denied")
        return self.text


def built(files: Files) -> Rotating[tuple[Mapping[str, str], frozenset[str]]]:
    secrets = Secrets(ENVIRONMENT, files.read)
    return Rotating(secrets, lambda now: (now, frozenset(channels(read_settings(now)))))


def test_a_new_version_is_used_within_five_minutes_and_nothing_is_built_before() -> None:
    files = Files()
    one = built(files)
    first = one.current(NOW)
    assert (first[0]["TWILIO_AUTH_TOKEN"], "sms" in first[1]) == ("first", True)
    files.text = "second"
    assert one.current(NOW + KEPT - timedelta(seconds=1)) is first
    assert files.reads == 1
    assert one.current(NOW + KEPT)[0]["TWILIO_AUTH_TOKEN"] == "second"
    again = one.current(NOW + 2 * KEPT)
    assert again is one.current(NOW + 3 * KEPT)  # the same secret: the same channels, with their connections


def test_a_file_that_cannot_be_read_keeps_the_last_value_for_five_minutes_and_then_the_channel_is_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = Files()
    one = built(files)
    one.current(NOW)
    files.gone = True
    assert "sms" in one.current(NOW + KEPT)[1]
    environment, names = one.current(NOW + 2 * KEPT)
    assert environment["TWILIO_AUTH_TOKEN"] == ""
    assert "sms" not in names
    assert "discord" in names  # others tell; the kill switch has no channel at all
    levels = [r.levelno for r in caplog.records if "TWILIO_AUTH_TOKEN_FILE" in r.getMessage()]
    assert levels == [logging.WARNING, logging.CRITICAL]
    assert "first" not in caplog.text
    files.gone = False
    assert "sms" in one.current(NOW + 3 * KEPT)[1]


def test_a_file_that_was_never_there_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    files = Files()
    files.gone = True
    assert "sms" not in built(files).current(NOW)[1]
    assert "its channel is off" in caplog.text


def test_without_files_the_environment_is_as_it_is() -> None:
    environment = {"GOOGLE_CLOUD_PROJECT": "p", "SMTP_PASSWORD": "x"}
    assert Secrets(environment).environment(NOW) == environment
