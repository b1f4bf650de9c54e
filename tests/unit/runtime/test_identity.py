"""Google's ID tokens: only a valid one, for us, with a verified address, names anybody (no network: our own keys)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from stopline.adapters.clock import ManualClock
from stopline.model.errors import Transient
from stopline.runtime.auth import NotAdmitted, Principal, Unauthenticated, authenticate
from stopline.runtime.identity import KEPT, GoogleIdentity

from ..make import NOON

AUDIENCE = "https://kill.example.com"
ADA = Principal(name="ada", rights=("kill",), accounts=("demo",))
PRINCIPALS: Mapping[str, object] = {"ada@example.com": ADA}


def keys() -> tuple[crypt.RSASigner, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return crypt.RSASigner(key, "key-1"), certificate.public_bytes(serialization.Encoding.PEM).decode()


SIGNER, PEM = keys()
STRANGER, _ = keys()


def token(signer: Any = SIGNER, **more: Any) -> str:
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": "Ada@example.com",
        "email_verified": True,
        "iat": now,
        "exp": now + 600,
        **more,
    }
    return jwt.encode(signer, {k: v for k, v in claims.items() if v is not None}).decode()


def identity() -> GoogleIdentity:
    return GoogleIdentity(AUDIENCE, ManualClock(NOON), lambda: {"key-1": PEM})


def unsigned(algorithm: str) -> str:
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "key-1"}).encode()).decode().rstrip("=")
    )
    return f"{head}.{token().split('.')[1]}."


def test_a_valid_token_names_its_principal() -> None:
    found = authenticate(f"Bearer {token()}", PRINCIPALS, identity().email)
    assert found == ADA


BAD = {
    "expired": lambda: token(exp=int(datetime.now(UTC).timestamp()) - 60),
    "not yet": lambda: token(iat=int(datetime.now(UTC).timestamp()) + 600),
    "another audience": lambda: token(aud="https://other.example.com"),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://evil.example.com"),
    "no issuer": lambda: token(iss=None),
    "another key": lambda: token(STRANGER),
    "alg none": lambda: unsigned("none"),
    "alg HS256": lambda: unsigned("HS256"),
    "signature removed": lambda: token().rsplit(".", 1)[0] + ".SIGNATURE_REMOVED",
    "no signature": lambda: token().rsplit(".", 1)[0] + ".",
    "claims changed": lambda: ".".join(
        [*token(email="eve@example.com").split(".")[:2], token().split(".")[2]]
    ),
    "no base64": lambda: "a.b.c",
    "dots": lambda: "..",
}


@pytest.mark.parametrize("case", BAD)
def test_a_token_that_is_not_valid_here_is_nobody(case: str) -> None:
    """B62: 401."""
    with pytest.raises(Unauthenticated):
        authenticate(f"Bearer {BAD[case]()}", PRINCIPALS, identity().email)


@pytest.mark.parametrize(
    "more",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email": None},
        {"email": "no address"},
    ],
    ids=str,
)
def test_a_valid_token_of_somebody_else_is_not_admitted(more: dict[str, Any]) -> None:
    """B63: 403."""
    with pytest.raises(NotAdmitted):
        authenticate(f"Bearer {token(**more)}", PRINCIPALS, identity().email)


def test_without_an_audience_no_identity_token_is_taken() -> None:
    """verify_token(None) would pass any audience: there is no such path."""
    with pytest.raises(Unauthenticated):
        authenticate(f"Bearer {token()}", PRINCIPALS)


def test_an_address_is_no_token() -> None:
    """B62: who knows an address of the setting cannot call with it."""
    with pytest.raises(Unauthenticated):
        authenticate("Bearer ada@example.com", PRINCIPALS, identity().email)


def test_certificates_are_kept_for_an_hour() -> None:
    clock, asked = ManualClock(NOON), []

    def certificates() -> Mapping[str, str]:
        asked.append(clock.now())
        return {"key-1": PEM}

    google = GoogleIdentity(AUDIENCE, clock, certificates)
    google.email(token())
    google.email(token())
    clock.set(NOON + KEPT)
    google.email(token())
    assert asked == [NOON, NOON + KEPT]


def test_keys_that_cannot_be_had_are_an_outage_and_no_refusal() -> None:
    """Fail table: the second credential, a token of STOPLINE_PRINCIPALS, still kills."""

    def certificates() -> Mapping[str, str]:
        raise Transient("no network")

    google = GoogleIdentity(AUDIENCE, ManualClock(NOON), certificates)
    with pytest.raises(Transient):
        authenticate(f"Bearer {token()}", PRINCIPALS, google.email)
