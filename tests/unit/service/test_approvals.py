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
