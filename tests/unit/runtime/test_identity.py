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


def keys(ends: datetime = NOON + timedelta(days=1), key_id: str = "key-1") -> tuple[crypt.RSASigner, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOON - timedelta(days=1))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return crypt.RSASigner(key, key_id), certificate.public_bytes(serialization.Encoding.PEM).decode()


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
    assert found == ADA.model_copy(update={"person": "ada@example.com"})


BAD = {
    "issuer is a list": lambda: token(iss=["https://accounts.google.com"]),
    "of tomorrow": lambda: token(nbf=int((NOON + timedelta(days=1)).timestamp())),
    "nbf is text": lambda: token(nbf="soon"),
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


class Google:
    """Its certificates, or none at all."""

    def __init__(self, **certificates: str) -> None:
        self.certificates = certificates
        self.down = False
        self.asked = 0

    def __call__(self) -> Mapping[str, str]:
        self.asked += 1
        if self.down:
            raise Transient("no network")
        return {name.replace("_", "-"): pem for name, pem in self.certificates.items()}


def test_kept_certificates_go_on_while_google_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    """R5.1, fail table: whoever may kill still may, loudly, and waits for Google once a minute at most."""
    clock, google = ManualClock(NOON), Google(key_1=PEM)
    reads = GoogleIdentity(AUDIENCE, clock, google)
    assert reads.email(token()) == "ada@example.com"
    google.down = True
    for minutes in (60, 60.5, 61, 120):
        clock.set(NOON + timedelta(minutes=minutes))
        assert reads.email(token()) == "ada@example.com"
    assert google.asked == 1 + 3
    assert caplog.text.count("cannot be had: those that are kept go on") == 3
    google.down = False
    clock.set(NOON + timedelta(minutes=121))
    assert reads.email(token()) == "ada@example.com"
    clock.set(NOON + timedelta(minutes=180))
    assert reads.email(token()) == "ada@example.com"
    assert google.asked == 5, "an hour again"


def test_a_kept_certificate_holds_to_its_own_end_and_no_longer() -> None:
    """B62: and while another one still holds, the one that has ended proves nothing."""
    signer, short = keys(NOON + timedelta(hours=3))
    clock, google = ManualClock(NOON), Google(key_1=short, key_2=PEM)
    reads = GoogleIdentity(AUDIENCE, clock, google)
    assert reads.email(token(signer)) == "ada@example.com"
    google.down = True
    clock.set(NOON + timedelta(hours=3))
    with pytest.raises(Unauthenticated):
        reads.email(token(signer))
    clock.set(NOON + timedelta(days=1))
    with pytest.raises(Transient):
        reads.email(token(signer))


def test_a_key_that_no_kept_certificate_names_proves_nothing() -> None:
    """B62: fail closed, whether Google answers or not."""
    clock, google = ManualClock(NOON), Google(key_1=PEM)
    reads = GoogleIdentity(AUDIENCE, clock, google)
    reads.email(token())
    unknown, _ = keys(key_id="key-9")
    google.down = True
    clock.set(NOON + timedelta(hours=2))
    with pytest.raises(Unauthenticated):
        reads.email(token(unknown))


def test_a_certificate_that_cannot_be_read_leaves_the_others() -> None:
    reads = GoogleIdentity(AUDIENCE, ManualClock(NOON), Google(key_0="junk", key_1=PEM))
    assert reads.email(token()) == "ada@example.com"
    with pytest.raises(Unauthenticated):
        GoogleIdentity(AUDIENCE, ManualClock(NOON), Google(key_1="junk")).email(token())


def test_an_instance_that_has_no_certificates_asks_google_again_after_ten_seconds_and_not_with_each_junk_token() -> (
    None
):
    """B62: nobody who sends junk makes it wait five seconds each time, and keeps others out."""
    clock, google = ManualClock(NOON), Google(key_1=PEM)
    google.down = True
    reads = GoogleIdentity(AUDIENCE, clock, google)
    for seconds in (0, 1, 9):
        clock.set(NOON + timedelta(seconds=seconds))
        with pytest.raises(Transient):
            reads.email("a.b.c")
    assert google.asked == 1
    google.down = False
    clock.set(NOON + timedelta(seconds=10))
    assert reads.email(token()) == "ada@example.com"
