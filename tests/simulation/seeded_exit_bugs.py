"""Bugs of exits and closings, put in on purpose: looked for among the seeds of the focus `exits`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from simulation.seeded_bugs import bug

from stopline.client import Client
from stopline.model.errors import Transient
from stopline.rules.closing import order as closing_order
from stopline.rules.closing import sent as closing_sent
from stopline.rules.exits import trade_exits as exits
from stopline.service.closing.close_book import Closer


def exit_bug(make: Any) -> Any:
    """Register a bug that the focus `exits` must find."""
    return bug(make, focus="exits")


@exit_bug
def a_stop_gives_way() -> Iterator[None]:
    """A little more room each time somebody looks."""
    original = exits.View.settled

    def roomy(self: Any, state: Any, *more: Any) -> Any:
        found = original(self, state, *more)
        return found if found.stop is None else replace(found, stop=found.stop - self.held.side)

    with patch.object(exits.View, "settled", roomy):
        yield


@exit_bug
def an_adapter_sells_what_it_is_told() -> Iterator[None]:
    """Whatever it still holds, and whatever works already."""

    def all_of_it(command: Any, held: Any, working: Any) -> Any:
        return command.quantity

    with patch.object(Client, "closable", staticmethod(all_of_it)):
        yield


@exit_bug
def a_close_that_failed_counts_as_begun() -> Iterator[None]:
    """The exit has triggered, and that is all."""
    original = Closer.carry_out

    def careless(self: Any, effect: Any) -> None:
        try:
            original(self, effect)
        except Transient:
            return

    with patch.object(Closer, "carry_out", careless):
        yield


@exit_bug
def a_close_that_failed_is_left_for_tomorrow() -> Iterator[None]:
    """What the broker rejected or let run out is not sent again today."""

    def tomorrow(*_: Any) -> timedelta:
        return timedelta(days=1)

    with patch.object(closing_sent, "backoff", tomorrow), patch.object(closing_order, "backoff", tomorrow):
        yield
