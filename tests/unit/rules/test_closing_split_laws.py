"""A split in the middle of a closing changes nothing but the units: what is left, what is out, who is told."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.closing_state import ClosingState, RequestStatus
from stopline.model.decimals import decimal_text
from stopline.model.messages import Command
from stopline.model.prices import Quote
from stopline.model.wire import validate

from ..make import at, equity, fill, option, trade
from .test_close_requests import said
from .test_closing_trades import ECHOES, Shared, bought

RATIOS = [(2, 1), (1, 2), (3, 2), (1, 10)]
WHOLE = Decimal(1200)  # units of a trade: what any two of the splits make of a quarter is whole
Seen = list[tuple[list[Decimal], list[RequestStatus], list[Decimal], list[str]]]


class Splitting(Shared):
    """A desk, and its broker, which carries its orders over a split. `factor`: units of now for one of the beginning."""

    def __init__(self, trades: int, echo: str, splits: bool) -> None:
        super().__init__(*(bought(n, 1200, group_id="g") for n in range(trades)), echo=echo)
        self.splits = splits
        self.factor = Decimal(1)
        self.out: dict[
            str, tuple[Command, Decimal, Decimal]
        ] = {}  # with the factor then, and what is left of it
        self.sent: list[Decimal] = []  # in units of the beginning
        self.number = 0

    def take(self, commands: list[Command]) -> None:
        for command in commands:
            quantity = (command.quantity or Decimal(0)) / self.factor
            self.sent.append(quantity)
            self.out[command.command_id] = command, self.factor, quantity

    def pass_time(self, seconds: int) -> None:
        self.now = at((self.now - at()).total_seconds() + seconds)
        self.take(self.wait(0))

    def happen(self, what: str, index: int, part: int) -> None:
        self.number += 1
        trades = self.book.trades()
        leave = decimal_text(part * WHOLE / 4 * self.factor)
        alive = [c for c, _, left in self.out.values() if left and self.now < c.expires_at]
        match what:
            case "ask":
                found = trades[index % len(trades)].trade_id
                self.take(self.ask(f"R-{self.number}", strategy="default", trade_id=found, leave=leave))
            case "ask of position":
                self.take(self.ask(f"R-{self.number}", strategy="default", symbol="SPY", leave=leave))
            case "execute" if alive:
                self.execute_part(alive[index % len(alive)], Decimal(part + 1) / 4)
            case "end" if alive:
                command, then, left = self.out[alive[index % len(alive)].command_id]
                filled = (command.quantity or Decimal(0)) - left * then
                self.report(command, "cancelled", decimal_text(filled))
                self.out[command.command_id] = command, then, Decimal(0)
            case "more":
                units = WHOLE / 4 * self.factor
                tag = trades[index % len(trades)].legs[0].tag.partition(":")[2]
                self.fills.append(trade(900 + self.number, units, 100, executed_at=self.now, group_id=tag))
            case "split":
                self.split(*RATIOS[index % len(RATIOS)])
            case "wait":
                self.pass_time(part * 12)
        self.pass_time(1)

    def execute_part(self, command: Command, part: Decimal) -> None:
        _, then, left = self.out[command.command_id]
        self.out[command.command_id] = command, then, left - left * part
        self.fill(command.model_copy(update={"quantity": left * part * self.factor}))

    def split(self, new: int, old: int) -> None:
        if self.splits:
            id_ = f"S-{self.number}"
            soon = at((self.now - at()).total_seconds() + 0.5)
            self.fills.append(fill(id_, "BUY", new, old, soon, equity(), kind="SPLIT"))
            self.factor = self.factor * new / old

    @property
    def seen(self) -> tuple[list[Decimal], list[RequestStatus], list[Decimal], list[str]]:
        held = [units / self.factor for units in self.held]
        return held, [one.status for one in self.state.asked.values()], list(self.sent), list(self.alerts)


def seen(trades: int, echo: str, happened: list[tuple[str, int, int]], splits: bool) -> Seen:
    desk = Splitting(trades, echo, splits)
    found = []
    for what, index, part in happened:
        desk.happen(what, index, part)
        found.append(desk.seen)
    for _ in range(6):
        for command, _, left in list(desk.out.values()):
            if left and desk.now < command.expires_at:
                desk.execute_part(command, Decimal(1))
        desk.pass_time(40)
        found.append(desk.seen)
    return found


KINDS = ["ask", "ask", "ask of position", "execute", "execute", "end", "more", "wait"]
EVENTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 3)), max_size=10)
SPLITS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=2)


@given(st.integers(1, 3), st.sampled_from(ECHOES), EVENTS, SPLITS)
@settings(max_examples=25, deadline=None)
def test_a_split_changes_no_closing(
    trades: int, echo: str, happened: list[tuple[str, int, int]], splits: list[tuple[int, int]]
) -> None:
    """R1.5, R4.5: of trades and positions, in part and whole, with commands out and fills that name them or not."""
    events = list(happened)
    for place, ratio in splits:
        events.insert(place % (len(events) + 1), ("split", ratio, 0))
    assert seen(trades, echo, events, splits=True) == seen(trades, echo, events, splits=False)


def test_of_a_reverse_split_whole_units_are_left() -> None:
    """R1.5, R4.3: 50 of 99 left are 17 of 33 after one for three, and no part of a share is sold."""
    desk = Shared(bought(0, 99))
    [old] = desk.close(0, leave="50")
    desk.report(old, "cancelled", "0")
    desk.fills.append(fill("S", "BUY", 1, 3, at(2), equity(), kind="SPLIT"))
    [new] = desk.wait(30)
    assert (new.quantity, desk.state.asked["R-0"].request.leave) == (16, 17)
    desk.fill(new)
    desk.step()
    assert desk.status("R-0") is RequestStatus.CLOSED


def test_whole_units_go_where_what_is_held_is_whole_though_it_once_was_not() -> None:
    """R4.3: 57 of 100 were held, one for three makes 19 of 33.33; down to 34 is down to 12."""
    desk = Shared(bought(0))
    desk.fill(desk.close(0, leave="67")[0])
    [second] = desk.close(0, "R-2", leave="34")
    desk.fill(second, 10)
    desk.report(second, "cancelled", "10")
    desk.now = at((desk.now - at()).total_seconds() + 1)
    desk.fills.append(fill("S", "BUY", 1, 3, desk.now, equity(), kind="SPLIT"))
    assert [c.quantity for c in desk.wait(30)] == [7]


def test_the_leg_of_a_spread_that_is_split_keeps_its_part_of_what_is_left() -> None:
    """R4.5: shares under two calls, of which one is left; the shares are split, the calls are another contract."""
    call = option(110, "C", root="SPY")
    covered = [
        trade(1, 200, 100, group_id="G", executed_at=at(-60)),
        trade(2, -2, 3, instrument=call, group_id="G", executed_at=at(-60)),
    ]
    desk = Shared(*covered)
    desk.quotes[call.symbol] = Quote(3, 2.9, 3.1)
    [first] = desk.close(0, leave="1")
    assert said([first]) == [(call.symbol, "BUY", 1)]
    desk.fill(first)
    [shares] = desk.wait(0)
    assert said([shares]) == [("SPY", "SELL", 100)]
    desk.report(shares, "cancelled", "0")
    desk.fills.append(fill("S", "BUY", 1, 10, at(2), equity(), kind="SPLIT"))
    assert said(desk.wait(30)) == [("SPY", "SELL", 10)]
    assert desk.state.asked["R-0"].request.leave == 1


def test_a_stop_after_a_scale_out_of_before_a_split_closes_the_rest() -> None:
    """R4.3, R4.5: what the first request has executed is not counted against the second, in whatever units."""
    desk = Shared(bought(0), bought(1))
    desk.fill(desk.close(1, "R-part", leave="50")[0])
    desk.step()
    desk.wait(3600)  # the command is forgotten
    assert not desk.state.sent
    desk.fills.append(fill("S", "BUY", 2, 1, desk.now, equity(), kind="SPLIT"))
    [rest] = desk.close(1, "R-stop", urgency="urgent")
    assert rest.quantity == 100
    desk.fill(rest)
    desk.step()
    assert (desk.status("R-stop"), desk.held) == (RequestStatus.CLOSED, [200, 0])


def test_a_closing_of_before_splits_were_noted_goes_on() -> None:
    """Stored state stays readable."""
    desk = Shared(bought(0))
    desk.close(0, leave="40")
    raw = desk.state.model_dump(mode="json")
    del raw["asked"]["R-0"]["splits"]
    del next(iter(raw["sent"].values()))["legs"][0]["split"]
    desk.state = validate(ClosingState, raw)
    desk.fills.append(fill("S", "BUY", 2, 1, at(500), equity(), kind="SPLIT"))
    desk.wait(1)
    assert desk.state.asked["R-0"].splits
