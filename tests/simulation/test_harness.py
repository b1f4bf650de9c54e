"""The simulator proves itself: bugs put in on purpose are found, each within 1,000 seeds."""

import pytest
from simulation import seeded_control_bugs, seeded_exit_bugs  # noqa: F401 - they register more
from simulation.seeded_bugs import BUGS, FOCUS

from emulators.simulator import between
from emulators.simulator.run import quick, run_range, run_seed

# Bugs that only one kind of story can show, and seldom: looked for among the seeds of that focus alone.
OWN_FOCUS = {
    **FOCUS,
    "a_late_fill_is_folded_where_it_arrives": "fills",
    "money_is_rounded_to_cents": "fills",
    "a_correction_takes_a_place_of_its_own": "fills",
    "a_fee_that_was_there_before_its_fill_counts_twice": "fills",
    "the_newest_correction_is_whichever_came_last": "fills",
    "published_is_remembered_before_the_result": "kill",
    "close_commands_share_an_id": "kill",
    "flat_is_said_when_commands_are_sent": "kill",
    "the_epoch_does_not_grow": "kill",
    "the_adapter_executes_a_command_each_time": "kill",
}

# Found from 0 on as well, among the first 1,000 but for the last, and so late that the way there takes longer than all else.
FIRST = {
    "a_late_fill_is_folded_where_it_arrives": 200,
    "a_fee_that_was_there_before_its_fill_counts_twice": 300,
    "the_newest_correction_is_whichever_came_last": 400,
    "a_lease_outlives_the_watch": 420,
    "a_halt_ends_with_the_next_lease": 470,
    "the_cancel_of_a_kill_expires": 120,
    "a_breaker_that_people_have_lifted_is_dead": 375,
    "the_end_of_a_cool_down_makes_a_size_its_own": 220,
    "a_price_confirms_itself": 255,
    "what_is_read_twice_at_once_is_two_readings": 240,
    "a_breaker_forgets_what_only_people_may_lift": 620,
    "a_stop_gives_way": 465,
    "a_redrive_removes_before_it_publishes": 80,
    "a_kill_of_the_second_path_counts_as_that_of_long_ago": 1155,
    "a_resume_lifts_what_came_after_it_was_written": 165,
    "who_was_told_is_known_for_an_hour": 225,
    "alert_ids_follow_from_the_cause_alone": 140,
    "a_lock_is_lifted_by_whoever_asks": 105,
    "a_correction_takes_a_place_of_its_own": 115,
}

# Bugs that seeds find once in thousands: each has schedules of its own, without chance, which yield what is broken.
SCHEDULES = {"a_lease_reads_one_control_after_the_other": between.broken}

# The protocol bugs that the design names (its word on test strength), each with the bug here that is that one.
PROTOCOL_BUGS = {
    "no inbox": "fills_are_not_created_once",
    "publish before commit": "effects_are_published_before_the_commit",
    "publish after commit": "effects_are_not_in_the_commit",
    "two commits": "fills_and_book_in_two_commits",
    "non-deterministic effect id": "effect_ids_are_not_deterministic",
    "acknowledge on ValueError": "errors_are_acknowledged",
    "float compare": "money_crosses_the_border_as_a_float",
    "missing epoch check": "an_adapter_takes_commands_of_any_epoch",
    "time to live as logic": "who_was_told_is_known_for_an_hour",
    "sent before the result": "published_is_remembered_before_the_result",
    "unsorted P&L": "a_late_fill_is_folded_where_it_arrives",
    "quarantine on outage": "an_outage_is_quarantined",
}


@pytest.mark.parametrize("name", [name for name in BUGS if name not in SCHEDULES])
def test_a_seeded_bug_is_found_within_a_thousand_seeds(name: str) -> None:
    """Test strength (at least 12 protocol bugs): what no seed finds, the harness is too weak for."""
    with BUGS[name]():
        outcome = run_range(FIRST.get(name, 0), 1000, stop_at=1, focus=OWN_FOCUS.get(name))
    assert outcome.failures, f"{name} was not found in {outcome.schedules} seeds"
    error = outcome.failures[0].error
    assert error.startswith("Violated: "), "not an invariant: the bug itself broke down"
    assert "knows what it raises" not in error, "the same, within a handler"
    _, without = run_seed(outcome.failures[0].seed, outcome.failures[0].focus)
    assert without is None, "the seed breaks without the bug as well"
    print(f"{name}: found at seed {outcome.failures[0].seed}: {outcome.failures[0].error[:100]}")


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_seeded_bug_that_seeds_hardly_find_breaks_a_schedule_of_its_own(name: str) -> None:
    """Test strength: and nothing is broken without the bug."""
    with quick():
        assert list(SCHEDULES[name]()) == []
        with BUGS[name]():
            found = list(SCHEDULES[name]())
    assert found, f"{name} was not found"
    print(f"{name}: {found[0][:100]}")


def test_every_protocol_bug_that_the_design_names_is_put_in() -> None:
    """Test strength: these twelve by name; others may come and go."""
    assert len(set(PROTOCOL_BUGS.values())) == len(PROTOCOL_BUGS) == 12
    assert set(PROTOCOL_BUGS.values()) <= BUGS.keys()
