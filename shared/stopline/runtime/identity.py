"""Google's ID tokens: whose e-mail a token proves. Imported when the first one comes: the kill switch starts without."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from stopline.model.errors import Transient
from stopline.ports import Clock
from stopline.runtime.auth import NotAdmitted, Unauthenticated

CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = {"accounts.google.com", "https://accounts.google.com"}
KEPT = timedelta(hours=1)  # Google turns its keys in days, and publishes the next one before it is used
SKEW_S = 10

Certificates = Callable[[], Mapping[str, str]]
"""Google's certificates in PEM, by key id. Raises Transient when they cannot be had."""


class GoogleIdentity:
    """Verifies ID tokens for one audience: signature, algorithm, expiry, audience, issuer, verified e-mail."""

    def __init__(self, audience: str, clock: Clock, certificates: Certificates | None = None) -> None:
        self._audience = audience
        self._clock = clock
        self._certificates = certificates or fetch_certificates
        self._kept: tuple[datetime, Mapping[str, str]] | None = None

    def email(self, token: str) -> str:
        """Return the e-mail address that a token proves. Raises Unauthenticated for a token that is not valid here,
        NotAdmitted for a valid one that proves no address, Transient when Google's keys cannot be had.
        """
        from google.auth import jwt

        certificates = self._current()
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, certs=certificates, audience=self._audience, clock_skew_in_seconds=SKEW_S
            )
            issuer, email, verified = claims["iss"], claims.get("email"), claims.get("email_verified")
        except Exception as problem:
            raise Unauthenticated("the identity token is not valid") from problem
        if issuer not in ISSUERS:
            raise Unauthenticated("the identity token is not valid")
        if verified is not True or not isinstance(email, str) or not email:
            raise NotAdmitted("the identity token has no verified e-mail address")
        return email.lower()

    def _current(self) -> Mapping[str, str]:
        now = self._clock.now()
        if self._kept is None or not timedelta(0) <= now - self._kept[0] < KEPT:
            self._kept = (now, self._certificates())
        return self._kept[1]


def fetch_certificates() -> Mapping[str, str]:
    """Return Google's certificates of today."""
    try:
        with urllib.request.urlopen(CERTIFICATES, timeout=5) as answer:  # nosec B310
            found: dict[str, str] = json.loads(answer.read())
            return found
    except (OSError, ValueError) as problem:
        raise Transient(f"Google's certificates cannot be had: {problem}") from problem
