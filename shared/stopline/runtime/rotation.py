"""Secrets that change while we run: read from files, at most five minutes old.

A variable NAME_FILE names the file that holds the secret NAME, as Secret Manager mounts its newest version. A new
version is used within five minutes, without a deployment. While a file cannot be read the last value is used for five
minutes; then the secret is gone, its channel with it, and alerts go by the others.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

NAMES = ("TWILIO_AUTH_TOKEN", "SMTP_PASSWORD", "TELEGRAM_TOKEN")
KEPT = timedelta(minutes=5)
_LONGEST = 4096

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Secrets:
    """The environment with the secrets of now. `read` returns a file's text."""

    def __init__(
        self,
        environment: Mapping[str, str],
        read: Callable[[str], str] = lambda name: Path(name).read_text("utf-8"),
    ) -> None:
        self._environment = environment
        self._read = read
        self._known: dict[str, tuple[str, datetime]] = {}  # value, and when it was read

    def environment(self, now: datetime) -> dict[str, str]:
        """Read the files, and return the variables with what they hold."""
        result = dict(self._environment)
        for name in NAMES:
            file = self._environment.get(f"{name}_FILE", "")
            if file:
                result[name] = self._value(name, file, now)
        return result

    def _value(self, name: str, file: str, now: datetime) -> str:
        try:
            value = self._read(file)[:_LONGEST].strip()
            self._known[name] = (value, now)
        except (OSError, ValueError) as problem:
            value, at = self._known.get(name, ("", now))
            gone = now - at > KEPT
            _log.log(
                logging.CRITICAL if gone or not value else logging.WARNING,
                "%s_FILE cannot be read (%s): %s",
                name,
                type(problem).__name__,
                "its channel is off" if gone or not value else "the last value is used for five minutes",
            )
            return "" if gone else value
        return value


class Rotating(Generic[T]):
    """Something that is built from the environment, and built anew when a secret in it has changed."""

    def __init__(self, secrets: Secrets, build: Callable[[Mapping[str, str]], T]) -> None:
        self._secrets = secrets
        self._build = build
        self._lock = threading.Lock()
        self._built: tuple[dict[str, str], T] | None = None
        self._looked: datetime | None = None

    def current(self, now: datetime) -> T:
        """Return what fits the secrets of now, at most five minutes old."""
        with self._lock:
            if self._built and self._looked and abs(now - self._looked) < KEPT:
                return self._built[1]
            environment = self._secrets.environment(now)
            if self._built is None or self._built[0] != environment:
                self._built = (environment, self._build(environment))
            self._looked = now
            return self._built[1]
