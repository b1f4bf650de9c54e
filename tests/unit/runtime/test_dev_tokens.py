"""Tokens of a Stopline on this machine: good there, for a while, and nowhere else."""

from __future__ import annotations

import string
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.runtime.auth import Principal, Unauthenticated, authenticate
from stopline.runtime.dev_tokens import LONGEST, issue, read
from stopline.runtime.settings import read_settings

from ..make import NOON

KEY = "k" * 32
BOB = Principal(name="bob", rights=("view", "resume"), accounts=("demo",))
TOKEN = issue(KEY, BOB, NOON, timedelta(hours=8))


def test_a_token_says_whose_it_is_and_what_they_may() -> None:
    assert read(KEY, TOKEN, NOON) == BOB
    assert authenticate(f"Bearer {TOKEN}", {}, None, lambda token: read(KEY, token, NOON)) == BOB


def test_a_token_ends() -> None:
    read(KEY, TOKEN, NOON + timedelta(hours=8, seconds=-1))
    with pytest.raises(Unauthenticated, match="expired"):
        read(KEY, TOKEN, NOON + timedelta(hours=8))
    forever = issue(KEY, BOB, NOON, timedelta(days=10_000))
    with pytest.raises(Unauthenticated, match="expired"):
        read(KEY, forever, NOON + LONGEST)


def test_production_takes_none() -> None:
    """B62: without the key nothing reads them, and settings refuse a key where no emulator is."""
    with pytest.raises(Unauthenticated):
        authenticate(f"Bearer {TOKEN}", {}, None, None)
    with pytest.raises(Unauthenticated):
        read("x" * 32, TOKEN, NOON)
    with pytest.raises(Rejected, match="STOPLINE_DEV_KEY"):
        read_settings({"GOOGLE_CLOUD_PROJECT": "p", "STOPLINE_DEV_KEY": KEY})
    here = {"GOOGLE_CLOUD_PROJECT": "p", "STOPLINE_DEV_KEY": KEY, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"}
    assert read_settings(here).dev_key == KEY


@settings(max_examples=80)
@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(string.ascii_letters + string.digits + "-_.~=é"))
def test_a_token_with_any_one_character_changed_is_nobody_s(at: int, character: str) -> None:
    """B62. The last character of each part carries spare bits: what decodes to the same bytes is the same token."""
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]
    assume(changed != TOKEN and changed.startswith("dev."))
    try:
        assert read(KEY, changed, NOON) == BOB
        assert TOKEN[at + 1 : at + 2] in ("", ".")
    except Unauthenticated:
        pass


@pytest.mark.parametrize("bad", ["dev.", "dev..", "dev.x", "dev.x.y", "dev.é.é", "dev." + "A" * 5000])
def test_what_is_no_token_is_refused(bad: str) -> None:
    with pytest.raises(Unauthenticated):
        read(KEY, bad, NOON)
