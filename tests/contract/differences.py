"""Where memory, the emulators and production differ: the one list.

A test that expects something else of one adapter than of another asks `differs`, so that no difference hides
in a test. The rest of the list is what no test here can show, and what takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One behaviour. `production` says what to rely on; `proof` says what holds us to it."""

    memory: str
    emulator: str
    production: str
    reason: str
    proof: str


# Shown by a test of this suite.
SHOWN: dict[str, Difference] = {
    "outage": Difference(
        memory="always answers",
        emulator="refuses connections when it is stopped",
        production="may fail any call, before or after it took effect",
        reason="memory is the process itself",
        proof="the simulator wraps memory and raises Unavailable at every call, before and after the effect",
    ),
    "unknown topic": Difference(
        memory="takes the message and delivers it to nobody",
        emulator="NOT_FOUND, which is Unavailable",
        production="as the emulator",
        reason="topics of the embedded mode exist when somebody subscribes",
        proof="tests of the topology: a function publishes to topics that are there",
    ),
    "sql": Difference(
        memory="has none: `latest` takes its place",
        emulator="runs GoogleSQL translated for DuckDB",
        production="GoogleSQL",
        reason="the embedded mode has no query engine",
        proof="the product's queries run in the tests against the emulator",
    ),
    "columns": Difference(
        memory="keeps the row as it came",
        emulator="keeps the columns of the table, NUMERIC at 9 decimals",
        production="as the emulator",
        reason="the embedded mode shows exact numbers without parsing `detail`",
        proof="both refuse the same rows, by the same function",
    ),
}

# Shown by no test here: what differs lies in production, in time, or in load.
KNOWN: dict[str, Difference] = {
    "contention": Difference(
        memory="a commit fails only when its precondition does",
        emulator="may answer ABORTED after a wait on a lock, though the version was right",
        production="as the emulator",
        reason="locks are held across a network",
        proof="ABORTED is Conflict, which every writer retries (the 16 threads below)",
    ),
    "server time": Difference(
        memory="counts from the year 2000, two commits a millisecond",
        emulator="its own clock, milliseconds; commits become visible in that order",
        production="milliseconds; a commit may become visible after one with a later time",
        reason="memory has no clock, and production commits in parallel",
        proof="readers with a cursor look back over an overlap",
    ),
    "snapshot reads": Difference(
        memory="get_all and query see one moment",
        emulator="as memory, nearly",
        production="as memory for one query; get_all may see one document later than another",
        reason="BatchGetDocuments outside a transaction promises no more",
        proof="only versions in a commit prove what was read",
    ),
    "composite index": Difference(
        memory="needs none",
        emulator="needs none",
        production="FAILED_PRECONDITION for equality on one field with inequality or order on another",
        reason="neither of them has indexes",
        proof="test_indexes compares the queries with infra/topology.json",
    ),
    "index entries": Difference(
        memory="no limit",
        emulator="no limit",
        production="40,000 entries a document, 1,500 bytes of an indexed value",
        reason="as above",
        proof="state is one text field, exempt from indexes",
    ),
    "request size": Difference(
        memory="3 MiB, checked before the commit",
        emulator="4 MiB, then RESOURCE_EXHAUSTED",
        production="10 MiB",
        reason="the smallest limit holds for all",
        proof="a commit above 3 MiB is refused before the network",
    ),
    "duplicates": Difference(
        memory="delivers a message again only when its handler failed",
        emulator="also delivers again what stood beside a refused message",
        production="at any time, and after a refusal all later messages of its key",
        reason="at least once",
        proof="the simulator duplicates and reorders",
    ),
    "mixed keys": Difference(
        memory="no requests, so no mixing",
        emulator="takes a request with several ordering keys",
        production="refuses it",
        reason="the emulator does not check",
        proof="a stub shows one request a topic and key",
    ),
    "message limits": Difference(
        memory="checked before publishing",
        emulator="takes 101 attributes and keys of 1,100 bytes",
        production="refuses them",
        reason="the emulator does not check",
        proof="the same check runs before both",
    ),
    "row errors": Difference(
        memory="none beyond our own check",
        emulator="status 500, and the connection is dropped",
        production="status 200 with errors by row",
        reason="the emulator's insertAll has none",
        proof="a stub answers as production does",
    ),
    "insert ids": Difference(
        memory="keeps both rows of one event",
        emulator="keeps both",
        production="drops a second one within about a minute, most of the time",
        reason="best effort in production, missing elsewhere",
        proof="the _latest views keep one row an event",
    ),
    "subscription filters": Difference(
        memory="has none: every subscriber gets every message",
        emulator="takes the filter and ignores it",
        production="delivers only what matches",
        reason="neither evaluates them",
        proof="none of what Pub/Sub does with one; test_the_filter_of_an_adapter_is_what_pubsub_is_asked_for",
    ),
    "retry policy": Difference(
        memory="at once, at the end of the queue",
        emulator="about once a second: the policy is left out, because with one nothing reaches the dead letters",
        production="waits from retry_min_seconds to retry_max_seconds of the topology",
        reason="memory has no clock; the emulator's pace is its own",
        proof="none of the waiting itself; test_a_subscription_is_within_the_limits_of_pubsub",
    ),
    "attempts": Difference(
        memory="5, then its list of dead letters",
        emulator="5 (ATTEMPTS of the bootstrap), then the dead-letter topic",
        production="as the topology says, counted approximately",
        reason="production outlasts an outage of hours, a test must not",
        proof="test_what_a_function_refuses_ends_in_the_dead_letter, with 5",
    ),
    "retention": Difference(
        memory="keeps what is not delivered, drops what is",
        emulator="7 days at most, so the bootstrap cuts the topology's number",
        production="as the topology says, up to 31 days",
        reason="the emulator refuses more",
        proof="test_dead_letters_outlive_what_they_were_sent_from_and_never_expire reads the topology",
    ),
    "seek": Difference(
        memory="has none",
        emulator="seeks to a time",
        production="as the emulator, within the retention",
        reason="memory keeps nothing that was delivered",
        proof="test_a_restored_database_is_filled_up_by_a_rewind, against the emulator",
    ),
    "delivery attempt": Difference(
        memory="counts the attempts of each delivery",
        emulator="pushes no deliveryAttempt, with dead letters or without",
        production="pushes it where the subscription has a dead-letter topic",
        reason="the emulator's push body has none",
        proof="nothing is decided by it; test_envelope reads it, and a body without it is attempt 1",
    ),
    "push identity": Difference(
        memory="calls the handler",
        emulator="takes an oidcToken and sends no Authorization header",
        production="sends a Google ID token, which Cloud Run checks before the function is called",
        reason="the emulator signs nothing",
        proof="none of that check, which is not ours; tokens of people are checked in tests/functions",
    ),
    "time to live": Difference(
        memory="keeps every document",
        emulator="keeps every document",
        production="deletes what has expired, within a day or so",
        reason="neither has a policy",
        proof="no reader waits for a deletion; test_nothing_that_decides_is_deleted_by_time",
    ),
}


def differs(name: str, adapter: str) -> bool:
    """Return whether `adapter` is the one that behaves otherwise; the difference must be listed."""
    assert name in SHOWN, f"{name!r} is no known difference"
    return adapter == "memory"
