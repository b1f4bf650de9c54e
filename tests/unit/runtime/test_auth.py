"""Who is calling: without a configured principal nobody may do anything."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.wire import validate
from stopline.runtime import auth
from stopline.runtime.auth import Principal, Right, Unauthenticated, authenticate


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


PRINCIPALS = {
    hashed("ann-token"): {"name": "ann", "rights": ["kill", "view"], "accounts": ["demo"]},
    hashed("bob-token"): {"name": "bob", "rights": ["admin"], "accounts": ["*"]},
}


def test_a_known_token_names_its_principal() -> None:
    assert authenticate("Bearer ann-token", PRINCIPALS).name == "ann"
    assert authenticate("bearer  bob-token ", PRINCIPALS).name == "bob"


@given(st.text(max_size=60))
def test_no_other_header_is_anybody(header: str) -> None:
    """B62."""
    if header.lower().startswith("bearer") and header.split(" ", 1)[-1].strip() in {"ann-token", "bob-token"}:
        return
    if any("\ud800" <= c <= "\udfff" for c in header):
        return  # the server reads headers as Latin-1
    with pytest.raises(Unauthenticated):
        authenticate(header, PRINCIPALS)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic ann-token", "ann-token", hashed("ann-token")]
)
def test_a_header_without_a_known_token_is_refused(header: str) -> None:
    """B62."""
    with pytest.raises(Unauthenticated):
        authenticate(header, PRINCIPALS)


def test_the_hash_is_no_token() -> None:
    """Who reads the configuration cannot call with it."""
    with pytest.raises(Unauthenticated):
        authenticate(f"Bearer {hashed('ann-token')}", PRINCIPALS)


def test_without_principals_nobody_is_let_in() -> None:
    """Fail closed."""
    for token in ("", "x", "ann-token"):
        with pytest.raises(Unauthenticated):
            authenticate(f"Bearer {token}", {})


@pytest.mark.parametrize("token", ["ann-token", "bob-token", "wrong"])
def test_every_known_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """The time of an answer must not tell how much of a token was right, or which place it has in the list."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one.decode())
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(auth, "hmac", Watched)
    with suppress(Unauthenticated):
        authenticate(f"Bearer {token}", PRINCIPALS)
    assert compared == list(PRINCIPALS)


@pytest.mark.parametrize(
    ("right", "scope", "may"),
    [
        ("kill", "account:demo", True),
        ("view", "account:demo", True),
        ("resume", "account:demo", False),
        ("kill", "account:other", False),
        ("kill", "account:demo2", False),
        ("kill", "account:", False),
        ("kill", "global", False),
        ("kill", "demo", False),
        ("kill", "", False),
        ("kill", "*", False),
    ],
)
def test_a_right_holds_on_its_accounts_only(right: Right, scope: str, may: bool) -> None:
    """I9, B66."""
    assert authenticate("Bearer ann-token", PRINCIPALS).may(right, scope) is may


def test_an_admin_may_everything_everywhere() -> None:
    bob = authenticate("Bearer bob-token", PRINCIPALS)
    for right in ("view", "trade", "risk", "kill", "resume", "admin"):
        assert bob.may(right, "global")  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [{}, {"accounts": []}])
def test_a_principal_of_no_account_may_nothing(more: dict[str, Any]) -> None:
    """B65: a setting that names no accounts opens none, and not all of them."""
    nobody = validate(Principal, {"name": "n", "rights": ["admin"], **more})
    assert not nobody.may("view", "account:demo")
    assert not nobody.may("kill", "global")


@pytest.mark.parametrize(
    ("right", "may"), [("trade", True), ("risk", True), ("resume", True), ("kill", True), ("view", False)]
)
def test_who_may_do_more_than_stop_may_stop(right: Right, may: bool) -> None:
    """Fail table: a kill needs the least, a resume the most. It gives no other right."""
    one = Principal(name="n", rights=(right,), accounts=("demo",))
    assert one.may("kill", "account:demo") is may
    assert not one.may("kill", "account:other")
    assert [r for r in ("view", "trade", "risk", "resume") if one.may(r, "account:demo")] == (
        [right] if right != "kill" else []
    )


@pytest.mark.parametrize(
    "bad", [{}, {"name": "x", "rights": ["root"]}, {"name": "x", "rights": [], "admin": True}, None]
)
def test_a_malformed_principal_is_nobody(bad: object) -> None:
    """B65: fail closed, however it got there."""
    with pytest.raises((Rejected, Unauthenticated)):
        authenticate("Bearer t", {hashed("t"): bad})


@pytest.mark.parametrize("name", ["limit:max_daily_loss", "breaker:loss", "Breaker:loss"])
def test_nobody_is_called_as_a_limit_or_breaker(name: str) -> None:
    """R5.2: their stops end by other rules than a person's, and a release of theirs asks nobody."""
    with pytest.raises(Rejected, match="must not begin with limit: or breaker:"):
        validate(Principal, {"name": name, "rights": ["kill"], "accounts": ["*"]})
