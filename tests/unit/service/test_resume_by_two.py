"""Resuming: what takes two different people, who have seen the same, soon after each other."""

from __future__ import annotations

import pytest

from stopline.model.errors import Rejected

from .resume_calls import ACTIVE, HALTED, REDUCING, ask, events, halted_everywhere, refused
from .world import World


def test_the_whole_is_resumed_by_two_people(world: World) -> None:
    """I6, reliability 6: two distinct principals."""
    app = halted_everywhere(world)
    first = ask(app, "resume", "r-1", "global")
    assert (first.state, first.epoch) == (HALTED, 1)
    assert first.pending is not None
    assert first.pending.actor == "ann"
    second = ask(app, "resume", "r-2", "global", "bob")
    assert (second.state, second.epoch, second.actor, second.pending) == (ACTIVE, 2, "bob", None)
    assert events(world) == ["kill", "resume_asked", "resume"]
    kinds = [body["kind"] for body in world.bus.bodies("alerts")]
    assert kinds == ["trading_state", "resume_asked", "trading_state"]


def test_one_person_is_not_two(world: World) -> None:
    """F45: one approver resumes twice."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    assert refused(app, "r-2", "global") == "SAME_PERSON"
    assert ask(app, "resume", "r-1", "global").state is HALTED  # the same request again is no second one
    assert app.trading.read("global").state is HALTED


def test_a_stale_approval_is_none(world: World) -> None:
    """F45: after ten minutes the second is the first again."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    world.wait(601)
    after = ask(app, "resume", "r-2", "global", "bob")
    assert after.state is HALTED
    assert ask(app, "resume", "r-3", "global").state is ACTIVE


def test_a_kill_in_between_takes_the_first_approval_back(world: World) -> None:
    """F39, I6."""
    app, _ = world.instance()
    ask(app, "pause", "p", "global")
    world.wait(60)
    ask(app, "resume", "r-1", "global")
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert ask(app, "resume", "r-2", "global", "bob").state is HALTED


@pytest.mark.parametrize("actor", ["bob", "limit:max_drawdown", "breaker:loss"])
def test_the_same_stop_said_again_takes_the_first_approval_back(world: World, actor: str) -> None:
    """F39, I6: the state is what it was, and who asked to resume has not heard the new word."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global")
    again = ask(app, "kill", "k-2", "global", actor)
    assert (again.state, again.epoch, again.pending) == (HALTED, 1, None)
    assert refused(app, "r-2", "global", "ida") == "TOO_EARLY"
    world.wait(60)
    first = ask(app, "resume", "r-3", "global", "ida")
    assert (first.state, first.pending.actor if first.pending else "") == (HALTED, "ida")


@pytest.mark.parametrize("actor", ["bob", "limit:max_drawdown", "breaker:risk_critical"])
def test_who_resumes_names_what_came_after_the_epoch_had_begun(world: World, actor: str) -> None:
    """I6: a second stop of the same kind keeps the epoch; a resume that was written before it lifts nothing."""
    app, _ = world.instance()
    app.trading._people = 1
    ask(app, "kill", "k", flatten=False)
    again = ask(app, "kill", "k-2", actor=actor, flatten=False)
    assert again.epoch == 1
    world.wait(60)
    with pytest.raises(Rejected) as found:
        ask(app, "resume", "r", lifts=[], expected_epoch=1)
    assert found.value.reason == "STALE_RESUME"
    assert f"{actor} since" in found.value.detail
    assert "k-2" in found.value.detail
    assert refused(app, "r-2", lifts=["k"], expected_epoch=1) == "STALE_RESUME"
    assert ask(app, "resume", "r-3", lifts=["k-2"], expected_epoch=1).state is ACTIVE


def test_a_new_epoch_shows_all_that_holds(world: World) -> None:
    """I6: who has seen it need not name what came before."""
    app, _ = world.instance()
    ask(app, "pause", "p-1")
    ask(app, "pause", "p-2", actor="limit:max_position_value")
    ask(app, "kill", "k")
    world.wait(60)
    assert ask(app, "resume", "r", lifts=[], expected_epoch=2).state is ACTIVE


def test_a_person_is_not_two_by_writing_the_name_otherwise(world: World) -> None:
    """F45, reliability 6: a token's name and an address may differ in case only."""
    app = halted_everywhere(world)
    ask(app, "resume", "r-1", "global", "Ann")
    assert refused(app, "r-2", "global", "ann") == "SAME_PERSON"


def test_what_a_drawdown_stopped_takes_two(world: World) -> None:
    """R5.2, domain 2.4."""
    app, _ = world.instance()
    ask(app, "pause", "p", actor="breaker:drawdown", hold_people=2)
    world.wait(60)
    assert ask(app, "resume", "r-1").state is REDUCING
    assert ask(app, "resume", "r-2", actor="bob").state is ACTIVE


@pytest.mark.parametrize(
    ("actor", "people"),
    [
        ("breaker:emergency_daily_loss", 2),
        ("limit:max_drawdown", 2),
        ("breaker:loss", 1),
        ("exit:max_loss", 1),
    ],
)
def test_a_rule_says_how_many_people_end_its_stop(world: World, actor: str, people: int) -> None:
    """R5.2, domain 2.4: the reset matrix holds for a request as breakers and limits write it, which names no number."""
    app, _ = world.instance()
    ask(app, "pause", "p", actor=actor)
    world.wait(60)
    first = ask(app, "resume", "r-1")
    assert (first.state, first.pending is None) == ((ACTIVE, True) if people == 1 else (REDUCING, False))
    if people == 2:
        assert ask(app, "resume", "r-2", actor="bob").state is ACTIVE


def test_a_desk_of_one_person_can_say_so(world: World) -> None:
    app, _ = world.instance()
    app.trading._people = 1
    ask(app, "kill", "k", "global")
    world.wait(60)
    assert ask(app, "resume", "r", "global").state is ACTIVE
