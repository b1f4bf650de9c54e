"""The second pair of eyes is another person's, by whatever name they come."""

from __future__ import annotations

import pytest

from stopline.model.errors import Rejected
from stopline.service.accounts.settings import SettingsPatch

from ..make import account
from .world import World

LOOSER = SettingsPatch(expected_version=1, settings={"limits": {"max_daily_loss": {"limit": "50"}}})


def test_one_person_by_two_names_does_not_agree_with_themselves() -> None:
    """R2.11, F45: a token and a Google identity."""
    world = World()
    world.open_account(account())
    settings = world.instance()[0].account_settings
    assert settings.change("demo", LOOSER, "ann", "ann@example.com").waits_for
    with pytest.raises(Rejected, match="Ann@example.com asked already"):
        settings.change("demo", LOOSER, "ann-by-google", "Ann@example.com")
    assert not settings.change("demo", LOOSER, "bob").waits_for


@pytest.mark.parametrize("is_token_first", [True, False])
def test_one_name_with_and_without_a_person_is_one(is_token_first: bool) -> None:
    """R2.11, F45: a token whose setting says nothing of the person, and the identity of the same name."""
    world = World()
    world.open_account(account())
    settings = world.instance()[0].account_settings
    callers = [("ann", ""), ("ann", "ann@example.com")]
    for one, is_first in zip(callers if is_token_first else callers[::-1], (True, False), strict=True):
        if is_first:
            assert settings.change("demo", LOOSER, *one).waits_for
        else:
            with pytest.raises(Rejected, match="asked already"):
                settings.change("demo", LOOSER, *one)


def test_what_was_asked_for_before_names_of_persons_were_stored_counts() -> None:
    """Stored state stays readable: the one name that was kept was the person's."""
    world = World()
    world.open_account(account())
    app, store = world.instance()
    app.account_settings.change("demo", LOOSER, "ann@example.com")
    [stored] = store.query("approvals")
    assert "person" not in stored.data["state"]
    with pytest.raises(Rejected, match="asked already"):
        app.account_settings.change("demo", LOOSER, "ann", "ann@example.com")
