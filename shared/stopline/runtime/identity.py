"""Google's ID tokens: whose e-mail a token proves. Imported when the first one comes: the kill switch starts without."""

import json
import logging
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any

from stopline.model.errors import Transient
from stopline.ports import Clock
from stopline.runtime.auth import NotAdmitted, Unauthenticated

CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = {"accounts.google.com", "https://accounts.google.com"}
KEPT = timedelta(hours=1)  # Google turns its keys in days, and publishes the next one before it is used
TRIED = timedelta(minutes=1)  # how long nobody waits for Google again, after it did not answer
WITHOUT = timedelta(seconds=10)  # the same where nothing is kept: somebody's kill may hang on it
SKEW_S = 10

log = logging.getLogger("stopline")

Certificates = Callable[[], Mapping[str, str]]
"""Google's certificates in PEM, by key id. Raises Transient when they cannot be had."""


class GoogleIdentity:
    """Verifies ID tokens for one audience: signature, algorithm, times, audience, issuer, verified e-mail."""

    def __init__(self, audience: str, clock: Clock, certificates: Certificates | None = None) -> None:
        self._audience = audience
        self._clock = clock
        self._certificates = certificates or fetch_certificates
        self._kept: tuple[datetime, Mapping[str, str]] | None = None
        self._tried = datetime.min.replace(tzinfo=UTC)
        self._failed = ""  # why the last try did not bring any

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
            issuer, email, verified = str(claims["iss"]), claims.get("email"), claims.get("email_verified")
            begins = float(claims.get("nbf", 0))
        except Exception as problem:
            raise Unauthenticated("the identity token is not valid") from problem
        if issuer not in ISSUERS or not begins <= self._clock.now().timestamp() + SKEW_S:
            raise Unauthenticated("the identity token is not valid")
        if verified is not True or not isinstance(email, str) or not email:
            raise NotAdmitted("the identity token has no verified e-mail address")
        return email.lower()

    def _current(self) -> Mapping[str, str]:
        """Return the certificates that hold now: Google's of this hour, or those that were had last, where it does not
        answer. Each holds to its own end and no longer; a key that none of them names proves nothing.
        """
        now = self._clock.now()
        age = now - self._kept[0] if self._kept else KEPT
        usable = _in_force(self._kept[1], now) if self._kept else {}
        ago = now - self._tried
        if usable and (timedelta(0) <= age < KEPT or timedelta(0) <= ago < TRIED):
            return usable
        if (
            self._failed and timedelta(0) <= ago < WITHOUT
        ):  # else each token, also of nobody's, would wait for Google again
            raise Transient(self._failed)
        self._tried, self._failed = now, ""  # before: whoever comes while this waits goes by what is kept
        try:
            found = self._certificates()
        except Transient as problem:
            self._failed = str(problem)
            if not usable:
                raise
            log.exception("Google's certificates cannot be had: those that are kept go on to their own end")
            return usable
        self._kept = (now, found)
        return _in_force(found, now)


def _in_force(certificates: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return the certificates that have not come to their own end. One that cannot be read is left out."""
    from cryptography import x509

    found = {}
    for key_id, pem in certificates.items():
        try:
            ends = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
        except ValueError:
            log.exception("a certificate of Google's cannot be read", extra={"key_id": key_id})
            continue
        if now < ends:
            found[key_id] = pem
    return found


def fetch_certificates() -> Mapping[str, str]:
    """Return Google's certificates of today."""
    try:
        with urllib.request.urlopen(CERTIFICATES, timeout=5) as answer:  # nosec B310
            return _texts(json.loads(answer.read()))
    except (OSError, HTTPException, ValueError) as problem:
        raise Transient(f"Google's certificates cannot be had: {problem}") from problem


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(pem, str) for pem in value.values()):
        raise ValueError("that is no page of certificates")
    return value
