"""A law of spreads that are scaled out of leg by leg: each stage closes what it says, once, and the stop never falls."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.trade import Trade
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.rules.exits.state import FRESH, Exit, Reading
from stopline.rules.exits.subject import subject
from stopline.rules.exits.trade_exits import advance

from ..make import account, at, fill, option, trade
from .exit_paths import plan

SHORT, LONG = option(6000, "P"), option(5990, "P")
PARTS = [Decimal(33), Decimal(33), Decimal(20)]
PLAN = plan(
    confirm=2,
    stop_loss="100%",
    trail={"by": "percent", "amount": "20%", "activation": "10%"},
    scale_out=[{"at": f"{0.2 * n:.1f}R", "close": str(part)} for n, part in enumerate(PARTS, start=1)],
)
SIZES = st.integers(1, 14)
STEPS = st.lists(st.tuples(st.integers(-40, 25), st.integers(0, 5), st.booleans()), min_size=5, max_size=40)


class Spread:
    """A credit spread sold at 1.50 and its exits; the desk closes the short leg first."""

    def __init__(self, units: int) -> None:
        self.fills: list[Fill] = []
        self.add(trade(0, -units, "3.00", instrument=SHORT))
        self.add(trade(1, units, "1.50", instrument=LONG))
        self.state = FRESH
        self.leave = Decimal(units)
        self.exits: list[Exit] = []
        self.stops: list[Decimal | None] = []

    def add(self, fill: Fill, twice: bool = False) -> None:
        self.fills += [fill.model_copy(update={"group_id": "G-1"})] * (2 if twice else 1)
        empty = Book("demo")
        self.book = empty.with_fills(self.fills, account().sessions.session_of, lambda _p, _f: [], at(10**4))

    def held(self) -> list[Decimal]:
        found = {p.instrument.symbol: abs(p.quantity) for p in self.book.open_positions()}
        return [found.get(contract.symbol, Decimal(0)) for contract in (SHORT, LONG)]

    def see(self, value: Decimal, number: int) -> None:
        """Read the price of what is open, whatever its proportion, while the spread is worth `value`."""
        for one in self.book.open_trades():
            view = subject(one)
            assert view
            prices = {SHORT.symbol: value + Decimal("1.5"), LONG.symbol: Decimal("1.5")}
            price = sum((weight * prices[symbol] for symbol, weight in view[1]), Decimal(0))
            now = at(number)
            step = advance(PLAN, view[0], self.state, Reading(price, now, now), (), now)
            self.state = step.state
            self.stops.append(step.state.stop)
            if step.exit:
                self.exits.append(step.exit)
                self.leave = step.exit.leave

    def fill(self, most: int, number: int, twice: bool) -> None:
        """Execute a part of what was asked for, short units first; the broker may say it twice."""
        short, long = self.held()
        contract, left = (SHORT, short - self.leave) if short > self.leave else (LONG, long - self.leave)
        units = min(Decimal(most), left)
        if units > 0:
            signed = units if contract is SHORT else -units
            self.add(
                trade(number, signed, "2.00" if contract is SHORT else "1.40", instrument=contract), twice
            )


@given(SIZES, STEPS)
@settings(max_examples=60, deadline=None)
def test_each_stage_of_a_spread_closes_what_it_says_once_and_the_stop_never_falls(
    units: int, steps: list[tuple[int, int, bool]]
) -> None:
    """R4.1, R4.3: short first, in parts, told twice."""
    spread = Spread(units)
    value = Decimal("1.5")
    for number, (move, filled, twice) in enumerate(steps, start=2):
        value = max(value + Decimal(move) / 100, Decimal("0.01"))
        spread.see(value, number)
        spread.fill(filled, number, twice)
    said = [Decimal(100) - sum(PARTS[:n]) for n in range(1, len(PARTS) + 1)]
    allowed = [(units * left / 100).to_integral_value(ROUND_CEILING) for left in said]
    stages = [found.leave for found in spread.exits if found.rule == "scale_out"]
    assert stages == sorted(set(stages), reverse=True)
    assert set(stages) <= set(allowed)
    assert len(spread.exits) <= len(stages) + 2  # and all of it: once, or once more, urgently
    known = [stop for stop in spread.stops if stop is not None]
    assert known == sorted(known, reverse=True)
    assert None not in spread.stops
    for number in range(100, 130):
        spread.fill(9, number, False)
    assert spread.held() == [spread.leave, spread.leave]


# --- two trades of one position, changed by hand, and split ---

GROUPS = ["G-1", "G-2"]
HANDS = st.lists(
    st.tuples(
        st.integers(-30, 25),  # how the spread moves, in cents
        st.sampled_from(["add", "reduce", "split", "exit", "exit", "", ""]),
        st.sampled_from(GROUPS),
        st.integers(1, 3),  # units
        st.integers(0, 3),  # prices between the two legs
    ),
    min_size=4,
    max_size=25,
)


class Two:
    """Two spreads in the same contracts, under ids of their own, an hour old; each has its own state."""

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.number = 0
        for group, units in (("G-1", 6), ("G-2", 9)):
            self.add(group, SHORT, -units, "3.00")
            self.add(group, LONG, units, "1.50")
        self.number = 3600
        self.states = dict.fromkeys(GROUPS, FRESH)
        self.stops: dict[str, list[Decimal]] = {group: [] for group in GROUPS}
        self.stages: dict[str, list[int]] = {group: [] for group in GROUPS}
        self.factor = Decimal(1)

    def add(self, group: str, contract: Instrument, units: int | Decimal, price: str) -> None:
        self.number += 1
        self.fills.append(trade(self.number, units, price, instrument=contract, group_id=group))

    def split(self) -> None:
        self.number += 1
        for contract in (SHORT, LONG):
            name = f"S-{self.number}-{contract.strike}"
            self.fills.append(fill(name, "BUY", 2, 1, at(self.number), contract, kind="SPLIT"))
        self.factor *= 2

    def trades(self) -> dict[str, Trade]:
        book = Book("demo").with_fills(
            self.fills, account().sessions.session_of, lambda _p, _f: [], at(10**5)
        )
        return {one.legs[0].tag.removeprefix("group:"): one for one in book.open_trades()}

    def see(self, value: Decimal) -> None:
        self.number += 1
        now = at(self.number)
        for group, one in self.trades().items():
            view = subject(one)
            assert view
            prices = {SHORT.symbol: value + Decimal("1.5"), LONG.symbol: Decimal("1.5")}
            price = sum((weight * prices[symbol] / self.factor for symbol, weight in view[1]), Decimal(0))
            step = advance(PLAN, view[0], self.states[group], Reading(price, now, now), (), now)
            self.states[group] = step.state
            if step.state.stop is not None:
                self.stops[group].append(step.state.stop * self.factor)
            if step.exit and step.exit.rule == "scale_out":
                self.stages[group].append(step.state.stage)

    def change(self, group: str, units: int | Decimal, value: Decimal, between: int) -> None:
        """Add units to a spread, or take some away, the long leg after the short one."""
        self.add(group, SHORT, -units, str((value + Decimal("1.5")) / self.factor))
        for _ in range(between):
            self.see(value)
        self.add(group, LONG, units, str(Decimal("1.5") / self.factor))


@given(HANDS)
@settings(max_examples=40, deadline=None)
def test_what_people_add_take_away_or_split_of_one_trade_loosens_no_stop_of_it_or_of_the_other(
    steps: list[tuple[int, str, str, int, int]],
) -> None:
    """R1.5, R4.1, R4.3: per unit of the spread; no stage comes twice."""
    two = Two()
    value = Decimal("1.5")
    two.see(value)
    for move, what, group, units, between in steps:
        value = max(value + Decimal(move) / 100, Decimal("0.01"))
        two.see(value)
        held = two.trades().get(group)
        open_units = abs(held.legs[0].quantity) if held else Decimal(0)
        asked = two.states[group].asked
        if what == "add" and held:
            two.change(group, units, value, between)
        elif what == "reduce" and open_units > units:
            two.change(group, -units, value, between)
        elif what == "exit" and asked and open_units > asked.leave > 0:
            two.change(group, asked.leave - open_units, value, between)
        elif what == "split" and two.factor < 8:
            two.split()
    for group in GROUPS:
        assert two.stops[group] == sorted(two.stops[group], reverse=True)  # short: it only falls
        assert two.stages[group] == sorted(set(two.stages[group]))
