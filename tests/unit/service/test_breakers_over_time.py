"""Breakers over an afternoon: what tripped stays so until people lift it, and is ready again when they have."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stopline.model.control import (
    REMEMBERED,
    TAKEN_UP,
    Control,
    ControlRequest,
    Seen,
    Standing,
    TradingState,
)
from stopline.model.messages import Effect, Sweep, SweepKind
from stopline.ports import Delete, Document, Path, Put, Unavailable, Write
from stopline.runtime.app import App
from stopline.service.trading.breaker_effects import lifted_of

from ..make import account, option, trade
from .valuing import prices, risk
from .world import World

DEMO, NAME = "account:demo", "emergency_daily_loss"
HOLD = f"breaker:{NAME}"
REDUCES: dict[str, Any] = {"reductions": {NAME: {"by": "heat", "to": "100"}}}
BAD, WORSE, CLEAR = 84.0, 81.9, 99.0  # of 100: 16 %, 18.1 % and 1 % of the equity lost


def holding(**settings: Any) -> tuple[World, App]:
    world = World()
    world.open_account(account(**settings))
    app, _ = world.instance()
    app.trading._people = 1
    app.recorder.record([trade(-1, 1000, 100)], "m-1")
    return world, app


def read(world: World, app: App, price: float, sweep: bool = False, seconds: float = 5) -> str:
    """Let a price come, and maybe the sweep; return how the breaker holds the account."""
    now = world.wait(seconds)
    prices(app, now, SPY=price)
    if sweep:
        app.sweeper.run(Sweep(kind=SweepKind.RISK), now, f"s{now.timestamp()}")
    hold = app.trading.standing(DEMO).holds.get(HOLD)
    return hold.state.value if hold else ""


def resume(world: World, app: App, actor: str = "ann") -> None:
    seen = app.trading.standing(DEMO)
    facts = {
        "request_id": f"r-{seen.epoch}-{actor}",
        "scope": DEMO,
        "action": "resume",
        "actor": actor,
        "reason": "reviewed",
        "confirm": f"RESUME {DEMO}",
        "expected_epoch": seen.epoch,
        "lifts": [hold.request_id for hold in seen.holds.values()],
    }
    done = app.trading.set(ControlRequest.model_validate(facts))
    assert done.pending or done.state is TradingState.ACTIVE


def test_a_breaker_that_reduces_stays_tripped_while_its_value_swings() -> None:
    """R5.2, R5.3: it halts nothing, so that nothing but its memory keeps a later reading from lifting what was confirmed."""
    world, app = holding(**REDUCES)
    assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING"] * 2
    swing = (CLEAR, BAD, CLEAR, BAD, BAD, CLEAR)
    assert [read(world, app, p, sweep=n % 2 == 0) for n, p in enumerate(swing)] == ["REDUCING"] * 6
    told = [a for a in world.bus.bodies("alerts") if a["kind"] == "breaker" and a["object"] == NAME]
    assert len(told) == 1
    assert risk(world).breakers[NAME].confirmed


def test_a_profit_target_that_is_reached_lets_nothing_more_in_until_a_person_resumes() -> None:
    """R5.2: of 100,000 of capital; what was made is kept, nothing is closed."""
    target = {"trading": {"breakers": {"profit_target": {"threshold": "5"}}}}
    world, app = holding(**target)
    assert read(world, app, 104.9) == ""
    assert "breaker:profit_target" not in app.trading.standing(DEMO).holds
    read(world, app, 105.1)
    assert app.trading.standing(DEMO).holds["breaker:profit_target"].state is TradingState.REDUCING
    read(world, app, 103, sweep=True)
    assert app.trading.standing(DEMO).state is TradingState.REDUCING, "only a person says go on"
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    world.wait(61)
    read(world, app, 103)
    resume(world, app)
    assert app.trading.standing(DEMO).state is TradingState.ACTIVE


def test_one_bad_price_is_not_two_readings() -> None:
    """R5.3, domain 2.4: the sweep reads it again and again, and nothing is closed until another one came."""
    world, app = holding()
    assert read(world, app, 100.0) == ""
    assert read(world, app, BAD, sweep=True) == "REDUCING"
    for number in range(3):
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(5), f"again-{number}")
    assert app.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert read(world, app, BAD) == "HALTED"


def test_a_reading_after_people_have_resumed_is_a_first_one() -> None:
    """R5.3: they have seen the first; a price that comes before the next sweep closes nothing by itself."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    world.wait(61)
    resume(world, app)
    assert read(world, app, BAD) == "REDUCING"
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert read(world, app, BAD) == "HALTED"


def resumed_in_between(world: World, app: App, instead: bool = False) -> None:
    """Let people resume after the second reading, a moment before what it wants is carried out; maybe they pause then."""
    people, _ = world.instance()
    people.trading._people, people.trading._doubts = 1, lambda scope: []
    carry_out = app.trading.carry_out

    def late(effect: Effect) -> Standing:
        if effect.body["action"] == "kill" and app.trading.standing(DEMO).state is TradingState.REDUCING:
            resume(world, people)
            if instead:
                facts = {
                    "request_id": "p-1",
                    "scope": DEMO,
                    "action": "pause",
                    "actor": "ann",
                    "reason": "tea",
                }
                people.trading.set(ControlRequest.model_validate(facts))
        return carry_out(effect)

    app.trading.carry_out = late  # type: ignore[method-assign]
    world.wait(61)
    assert read(world, app, BAD) == "REDUCING"
    app.trading.carry_out = carry_out  # type: ignore[method-assign]


@pytest.mark.parametrize("instead", [False, True])
def test_a_second_reading_that_people_overtake_closes_nothing_and_is_a_first_one(instead: bool) -> None:
    """R5.3: it had read the state of before; the next two closed nothing for as long as the value did not get worse."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    resumed_in_between(world, app, instead)
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    told = [a["summary"] for a in world.bus.bodies("alerts") if a["kind"] == "trading_state"]
    assert "nothing was closed, people had just resumed: loss of the day is 16" in told[-1]
    assert read(world, app, BAD, sweep=True) == "REDUCING"
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]
    assert read(world, app, BAD) == "HALTED"
    assert [o for o in world.bus.bodies("orders") if o["action"] == "close"]


def test_a_second_reading_that_people_overtake_twice_is_ready_again() -> None:
    """R5.3: they resume once more before anybody has looked; what they lift is not what two readings have said."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    resumed_in_between(world, app)
    world.wait(61)
    resume(world, app)
    assert read(world, app, BAD, sweep=True) == ""
    assert [read(world, app, BAD) for _ in range(2)] == ["REDUCING", "HALTED"]


def test_a_second_reading_that_people_overtake_is_known_after_many_requests() -> None:
    """R5.3: the document forgets requests, and the hold is what is left of it."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    resumed_in_between(world, app)
    control = app.trading.read(DEMO)
    instead = control.holds[HOLD].request_id
    assert lifted_of(control, risk(world).breakers)[NAME] == instead
    assert lifted_of(control.model_copy(update={"seen": {}}), risk(world).breakers)[NAME] == instead


def test_a_second_reading_that_people_overtake_is_taken_back_by_a_good_one() -> None:
    """R5.3: as any first reading is."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    resumed_in_between(world, app)
    assert read(world, app, CLEAR, sweep=True) == ""
    assert app.trading.standing(DEMO).state is TradingState.ACTIVE
    assert NAME not in risk(world).breakers


def test_a_fat_quote_of_one_leg_is_not_confirmed_by_the_price_of_another() -> None:
    """R5.3: an option has no collar; the index and the long leg move on, the short leg's quote stays."""
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    short, long = option(6000), option(5990)
    legs = [trade(-2, -10, 2, instrument=short), trade(-1, 10, "1.5", instrument=long)]
    app.recorder.record(legs, "m-1")
    prices(app, world.wait(5), **{short.symbol: 2.0, long.symbol: 1.5, "SPXW": 6050.0})
    prices(app, world.wait(5), **{short.symbol: 20.0})
    assert app.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING
    for _ in range(3):
        prices(app, world.wait(3), **{long.symbol: 1.5, "SPXW": 6050.0})
    assert app.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING
    prices(app, world.wait(3), **{short.symbol: 2.0})
    assert HOLD not in app.trading.standing(DEMO).holds


def test_what_people_lift_trips_again_where_it_gets_clearly_worse() -> None:
    """R5.2: and closes when a second reading agrees, as the first time."""
    world, app = holding()
    assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING", "HALTED"]
    read(world, app, BAD, sweep=True, seconds=61)
    resume(world, app)
    assert [read(world, app, p, sweep=True) for p in (BAD, 83.0)] == ["", ""]
    assert [read(world, app, p) for p in (WORSE, WORSE)] == ["REDUCING", "HALTED"]


def test_what_people_lift_is_ready_again_where_it_is_clear() -> None:
    """R5.2: from then on the first bad reading counts."""
    world, app = holding()
    assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING", "HALTED"]
    assert read(world, app, CLEAR, sweep=True, seconds=61) == "HALTED"
    resume(world, app)
    assert read(world, app, CLEAR, sweep=True) == ""
    assert NAME not in risk(world).breakers
    assert read(world, app, BAD) == "REDUCING"


def test_a_price_time_outlives_a_restart() -> None:
    """I10: another instance has the first reading from the store."""
    world, app = holding()
    read(world, app, 100.0)
    read(world, app, BAD)
    found = risk(world).breakers[NAME]
    assert found.prices_at == world.clock.now()
    again, _ = world.instance()
    again.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(5), "s")
    assert again.trading.standing(DEMO).holds[HOLD].state is TradingState.REDUCING


@pytest.mark.parametrize("held", [True, False])
def test_what_was_stored_before_there_were_levels_goes_on(held: bool) -> None:
    """Documents of the version before: a confirmed breaker stays so while its stop holds."""
    world, app = holding()
    assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING", "HALTED"]
    document = world.document("risk", "demo")
    assert document is not None
    body = orjson.loads(document["state"])
    body["breakers"] = {name: item[:3] for name, item in body["breakers"].items()}
    world.shared.commit([Put(Path("risk", "demo"), {**document, "state": orjson.dumps(body).decode()})])
    again, _ = world.instance()
    if not held:
        prices(again, world.wait(61), SPY=BAD)
        again.trading._people = 1
        resume(world, again)
    read(world, again, BAD, sweep=True)
    found = risk(world).breakers[NAME]
    assert (found.confirmed, found.lifted, found.level) == (True, not held, Decimal(16))


def test_a_stop_that_is_on_its_way_is_not_one_that_people_have_lifted() -> None:
    """F40: the control document knows the request of neither."""
    world, app = holding()
    read(world, app, BAD)
    tripped = risk(world).breakers
    control = app.trading.read(DEMO)
    assert lifted_of(control, tripped) == {}
    assert lifted_of(control.model_copy(update={"holds": {}}), tripped) == dict.fromkeys(tripped, "")
    assert lifted_of(control.model_copy(update={"holds": {}, "seen": {}}), tripped) == {}


def test_a_pause_that_comes_late_takes_no_later_one_along() -> None:
    """R5.3, F40: its release lifted the later one, which two readings had agreed on."""
    world, app = holding(**REDUCES)
    carry_out, down = app.trading.carry_out, {"pause", "release"}

    def sometimes(effect: Effect) -> Standing:
        if effect.body["action"] in down:
            down.add(effect.id)
        if effect.id in down:
            raise Unavailable("the store is slow")
        return carry_out(effect)

    app.trading.carry_out = sometimes  # type: ignore[method-assign]
    for price in (BAD, CLEAR):
        with pytest.raises(Unavailable):
            read(world, app, price)
    down -= {"pause", "release"}
    with pytest.raises(Unavailable):
        read(world, app, BAD)
    app.trading.carry_out = carry_out  # type: ignore[method-assign]
    assert [read(world, app, BAD) for _ in range(3)] == ["REDUCING"] * 3
    assert risk(world).breakers[NAME].confirmed


def test_a_pause_that_people_have_lifted_is_known_though_the_release_before_it_fails() -> None:
    """R5.3, F40: it waited for that, the second reading did not, and closed everything just after people had resumed."""
    world, app = holding(price_max_age_s=600)
    assert [read(world, app, price) for price in (100.0, BAD)] == ["", "REDUCING"]
    carry_out = app.trading.carry_out

    def no_release(effect: Effect) -> Standing:
        if effect.body["action"] == "release":
            raise Unavailable("the store is slow")
        return carry_out(effect)

    app.trading.carry_out = no_release  # type: ignore[method-assign]
    for price in (CLEAR, BAD):
        with pytest.raises(Unavailable):
            read(world, app, price)
    world.wait(61)
    resume(world, app)
    with pytest.raises(Unavailable):
        read(world, app, BAD)
    assert app.trading.standing(DEMO).state is TradingState.REDUCING
    assert not [o for o in world.bus.bodies("orders") if o["action"] == "close"]


def test_a_pause_that_comes_after_its_kill_and_peoples_resume_is_void() -> None:
    """R5.3, F40: trading was reduce-only again, for a breaker that had closed already and never closed any more."""
    world, app = holding(price_max_age_s=600)
    assert read(world, app, 100.0) == ""
    carry_out = app.trading.carry_out

    def no_pause(effect: Effect) -> Standing:
        if effect.body["action"] == "pause":
            raise Unavailable("the store is slow")
        return carry_out(effect)

    app.trading.carry_out = no_pause  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(Unavailable):
            read(world, app, BAD)
    assert app.trading.standing(DEMO).holds[HOLD].state is TradingState.HALTED
    app.trading.carry_out = carry_out  # type: ignore[method-assign]
    world.wait(61)
    resume(world, app)
    assert [read(world, app, BAD, sweep=True) for _ in range(2)] == ["", ""]
    closed = len([o for o in world.bus.bodies("orders") if o["action"] == "close"])
    assert [read(world, app, WORSE) for _ in range(2)] == ["REDUCING", "HALTED"]
    assert len([o for o in world.bus.bodies("orders") if o["action"] == "close"]) > closed


def test_a_loss_that_no_missing_price_can_make_good_stops_trading_and_closes() -> None:
    """R5.3: a sold call has no price; it may bring back the 200 that it was sold for, and the shares have lost 16,000. The
    second reading needs newer prices of what has one.
    """
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    short = trade(-3599, -1, 2, instrument=option(6000, "C", date(2026, 11, 19)))
    app.recorder.record([short, trade(-3600, 1000, 100)], "m-1")
    assert read(world, app, BAD) == "REDUCING"
    assert risk(world).shown["unrealised"] is None
    assert read(world, app, BAD) == "HALTED"
    assert "at least 15.8%" in app.trading.standing(DEMO).holds[HOLD].reason
    levels = {x["limit"]: (x["level"], x.get("at_least")) for x in risk(world).shown["limits"]}
    assert levels["max_daily_loss"] == ("breach", True)
    told = [a["summary"] for a in world.bus.bodies("alerts") if a["kind"] == "max_daily_loss"]
    assert told == ["Loss of the day is at least 15.8%, limit 3%: breached"]


def test_a_loss_that_a_missing_price_may_make_good_stops_nothing() -> None:
    """R5.3, I7: the same beside a bought call: UNKNOWN, and people are told that it is."""
    world = World()
    world.open_account(account())
    app, _ = world.instance()
    long = trade(-3599, 1, 2, instrument=option(6000, "C", date(2026, 11, 19)))
    app.recorder.record([long, trade(-3600, 1000, 100)], "m-1")
    assert [read(world, app, BAD, sweep=True) for _ in range(2)] == ["", ""]
    [level] = [x["level"] for x in risk(world).shown["limits"] if x["limit"] == "max_daily_loss"]
    assert level == "unknown"
    assert "stale_prices" in {a["kind"] for a in world.bus.bodies("alerts")}


LOSSES = ("the document", "the document and its trail", "all since a backup of the document")


def take_away(world: World, app: App, lost: str, backup: Document | None) -> None:
    """Lose the account's trading state by a hand outside Stopline; nothing of it where `lost` is empty."""
    if not lost:
        return
    path = app.controls.path(DEMO)
    writes: list[Write] = [Delete(path)] if backup is None else [Put(path, backup.data)]
    if "trail" in lost:
        writes += [Delete(row.path) for row in world.shared.query("audit") if row.data.get("chain") == DEMO]
    world.shared.commit(writes)


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.parametrize("later", [CLEAR, BAD])
def test_a_breaker_of_a_lost_trading_state_trips_again_as_if_nothing_had_been_lost(
    lost: str, later: float
) -> None:
    """R5.2, F54: once people have resumed what was taken up. What was asked of the lost document was for ever on its way."""

    def run(lost: str) -> list[str]:
        world, app = holding()
        app.trading._doubts = lambda scope: []
        app.trading.set(ControlRequest(request_id="p", scope=DEMO, action="pause", actor="ann", reason="x"))
        world.wait(61)
        resume(world, app)
        backup = world.shared.get(app.controls.path(DEMO)) if "backup" in lost else None
        assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING", "HALTED"]
        app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(5), "s0")
        take_away(world, app, lost, backup)
        app, _ = world.instance()
        app.trading._people, app.trading._doubts = 1, lambda scope: []
        read(world, app, BAD, sweep=True, seconds=30)
        assert app.trading.standing(DEMO).state is not TradingState.ACTIVE
        for actor in ("ann", "bob"):
            read(world, app, later, sweep=True, seconds=61)
            if app.trading.standing(DEMO).state is not TradingState.ACTIVE:
                resume(world, app, actor)
        seen = [read(world, app, p, sweep=True, seconds=20) for p in (CLEAR, CLEAR, BAD, BAD, WORSE)]
        return [*seen, app.trading.standing(DEMO).state.value]

    assert run(lost) == run("")
    assert "HALTED" in run(lost)


@pytest.mark.parametrize("lost", ["", *LOSSES])
@pytest.mark.parametrize("is_lifted", [False, True])
def test_an_account_at_a_quarter_of_its_size_stays_there_when_its_trading_state_is_lost(
    lost: str, is_lifted: bool
) -> None:
    """R5.2, F54: a loss makes nothing looser; where people had lifted that too, the trail says so."""
    world, app = holding()
    app.trading._doubts = lambda scope: []
    assert [read(world, app, p) for p in (BAD, BAD)] == ["REDUCING", "HALTED"]
    backup = world.shared.get(app.controls.path(DEMO)) if "backup" in lost else None
    for actor in ("ann", "bob") if is_lifted else ("ann",):
        read(world, app, CLEAR, sweep=True, seconds=61)
        resume(world, app, actor)
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(5), "s0")
    take_away(world, app, lost, backup)
    app, _ = world.instance()
    app.trading._people, app.trading._doubts = 1, lambda scope: []
    app.sweeper.run(Sweep(kind=SweepKind.RISK), world.wait(30), "s1")
    for actor in ("ann", "bob"):
        read(world, app, CLEAR, seconds=61)
        if app.trading.standing(DEMO).state is not TradingState.ACTIVE:
            resume(world, app, actor)
    standing = app.trading.standing(DEMO)
    is_known = is_lifted and lost in ("", "the document")
    assert (standing.state, standing.size) == (TradingState.ACTIVE, Decimal(1 if is_known else "0.25"))


def test_what_an_account_that_was_taken_up_asks_for_anew_is_on_its_way() -> None:
    """F40: what was asked for since the loss is known to the document as soon as it was carried out."""
    world, app = holding()
    read(world, app, BAD)
    tripped = risk(world).breakers
    since = tripped[NAME].since
    control = app.trading.read(DEMO).model_copy(update={"holds": {}, "seen": {}})

    def taken_up(at: datetime) -> Control:
        return control.remembering(TAKEN_UP, Seen(hash="", epoch=1, at=at))

    assert lifted_of(taken_up(since), tripped) == dict.fromkeys(tripped, "")
    assert lifted_of(taken_up(since - timedelta(seconds=1)), tripped) == {}
    assert control.requests == taken_up(since).requests == []


def test_what_an_account_with_many_requests_asked_for_last_is_on_its_way() -> None:
    """F40: of what it may have forgotten nobody knows; what is newer it would know."""
    world, app = holding()
    read(world, app, BAD)
    tripped = risk(world).breakers
    since = tripped[NAME].since
    empty = app.trading.read(DEMO).model_copy(update={"holds": {}, "seen": {}})

    def after(control: Control, first: datetime, count: int) -> Control:
        for number in range(count):
            at = first + timedelta(seconds=number)
            control = control.remembering(f"r-{at.timestamp()}", Seen(hash="", epoch=1, at=at))
        return control

    hour = timedelta(hours=1)
    assert lifted_of(after(empty, since - hour, REMEMBERED - 1), tripped) == {}
    assert lifted_of(after(empty, since - hour, REMEMBERED), tripped) == dict.fromkeys(tripped, ""), (
        "as of before it was noted"
    )
    noted = after(empty, since - hour, REMEMBERED + 1)
    assert lifted_of(noted, tripped) == {}
    assert lifted_of(noted, {NAME: replace(tripped[NAME], request_id="")}) == {NAME: ""}
    later = after(noted, since, REMEMBERED)
    assert lifted_of(later, tripped) == {}
    assert lifted_of(after(later, since + hour, 1), tripped) == dict.fromkeys(tripped, "")
