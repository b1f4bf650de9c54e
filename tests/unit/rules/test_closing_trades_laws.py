"""Trades that share a position, closed in any mix: none is sold twice, whatever the broker's fills name."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.closing_state import RequestStatus
from stopline.model.fill import Fill
from stopline.model.messages import Command

from ..make import at, trade
from .test_closing_trades import ECHOES, NAMES, Shared, bought

events = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "ask", "ask of position", "execute", "execute", "end", "more", "by hand", "wait"]
        ),
        st.integers(0, 5),
        st.integers(0, 4),
    ),
    max_size=16,
)


class Broker(Shared):
    """A desk and its broker, which executes what is alive, tells within the grace, and checks nothing itself."""

    def __init__(self, *fills: Fill, echo: str) -> None:
        super().__init__(*fills, echo=echo)
        self.true = sum((f.signed_quantity for f in fills), Decimal(0))  # what the broker holds
        self.late: list[tuple[float, Fill]] = []
        self.left: dict[str, tuple[Command, Decimal]] = {}
        self.sold: dict[str, Decimal] = {}  # by trade
        self.least: dict[str, Decimal] = {}  # what requests leave, by trade
        self.number = 0

    def take(self, commands: list[Command]) -> None:
        for command in commands:
            self.left[command.command_id] = command, command.quantity or Decimal(0)
        out = sum((left for command, left in self.left.values() if self.now < command.expires_at), Decimal(0))
        assert out <= abs(self.true), "commands that are out never sum to more than is held"

    def execute(self, command: Command, units: int | None = None, price: str = "100") -> None:
        _, left = self.left[command.command_id]
        done = min(Decimal(units or 99), left)
        if self.now >= command.expires_at or not done:
            return
        self.left[command.command_id] = command, left - done
        before = self.true
        self.true += done if command.side == "BUY" else -done
        assert self.true * before >= 0, "a position never changes its sign"
        sent = self.state.sent[command.command_id]
        for trade_id in (leg.trade_id for leg in sent.legs if leg.trade_id):
            self.sold[trade_id] = self.sold.get(trade_id, Decimal(0)) + done
            assert self.sold[trade_id] <= self.opened(trade_id) - self.least[trade_id], (
                "no more than was asked for"
            )
        self.fill(command, int(done))
        self.late.append((self.number % 2 * 3, self.fills.pop()))

    def opened(self, trade_id: str) -> Decimal:
        [one] = [t for t in self.book.trades() if t.trade_id == trade_id]
        return sum((abs(leg.opened) for leg in one.legs), Decimal(0))

    def pass_time(self, seconds: int) -> None:
        self.now = at((self.now - at()).total_seconds() + seconds)
        self.fills += [
            fill for due, fill in self.late if fill.executed_at <= at((self.now - at()).total_seconds() - due)
        ]
        self.late = [(due, fill) for due, fill in self.late if fill not in self.fills]
        self.take(self.wait(0))
        for asked in self.state.asked.values():
            trade_id = asked.request.trade_id
            if asked.status is RequestStatus.CLOSED and trade_id and asked.ended_at == self.now:
                [one] = [t for t in self.book.trades() if t.trade_id == trade_id]
                assert sum(abs(leg.quantity) for leg in one.legs) <= asked.request.leave

    def happen(self, what: str, index: int, amount: int) -> None:
        self.number += 1
        trades = self.book.trades()
        one = trades[index % len(trades)]
        alive = [c for c, left in self.left.values() if left and self.now < c.expires_at]
        match what:
            case "ask":
                known = self.least.get(one.trade_id, Decimal(99))
                self.least[one.trade_id] = min(known, Decimal(amount // 2))
                id_ = f"R-{self.number}"
                self.take(self.ask(id_, strategy="default", trade_id=one.trade_id, leave=str(amount // 2)))
            case "ask of position":
                id_ = f"R-{self.number}"
                self.take(self.ask(id_, strategy="default", symbol="SPY", leave=str(index + amount)))
            case "execute" if alive:
                self.execute(alive[index % len(alive)], amount or None)
            case "end" if alive:
                command = alive[index % len(alive)]
                _, left = self.left[command.command_id]
                filled = (command.quantity or Decimal(0)) - left
                self.report(command, "cancelled", str(filled))
                self.left[command.command_id] = command, Decimal(0)
            case "more":  # a fill of an opening comes late
                tag = one.legs[0].tag.partition(":")
                ids = {f"{tag[0]}_id": tag[2]}
                moment = at(-20 - len(self.fills) / 100)
                self.fills.append(trade(900 + self.number, 1, 100, executed_at=moment, **ids))
                self.true += 1
            case "by hand" if self.true - sum(left for _, left in self.left.values()) > 3:
                moment = at((self.now - at()).total_seconds())
                self.fills.append(
                    trade(900 + self.number, -2, 100, executed_at=moment, order_id=f"H-{self.number}")
                )
                self.true -= 2
            case "wait":
                self.pass_time(amount * 12)
        self.pass_time(1)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(NAMES)), min_size=2, max_size=4),
    st.sampled_from(ECHOES),
    events,
)
@settings(max_examples=60, deadline=None)
def test_trades_of_one_position_are_each_closed_once_or_people_are_told(
    entered: list[tuple[int, dict[str, str]]], echo: str, happened: list[tuple[str, int, int]]
) -> None:
    """R4.5, R5.1, R8.4: with a broker whose fills name the group, the command, or neither of them."""
    desk = Broker(*(bought(n, units, **ids) for n, (units, ids) in enumerate(entered)), echo=echo)
    for what, index, amount in happened:
        desk.happen(what, index, amount)
    for _ in range(8):
        for command, left in list(desk.left.values()):
            if left:
                desk.execute(command)
        desk.pass_time(40)
    assert desk.true == desk.book.net_quantity("SPY")
    ends = {asked.status for asked in desk.state.asked.values()}
    assert ends <= {RequestStatus.CLOSED, RequestStatus.ASTRAY}
    assert (RequestStatus.ASTRAY in ends) <= ("closing_astray" in desk.alerts)
    if echo != "neither":
        assert RequestStatus.ASTRAY not in ends
