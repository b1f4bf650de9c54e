"""What most tests of the use cases begin with."""

from __future__ import annotations

import pytest

from .world import World


@pytest.fixture
def world() -> World:
    """A world with one account, demo, that holds nothing."""
    made = World()
    made.open_account()
    return made
