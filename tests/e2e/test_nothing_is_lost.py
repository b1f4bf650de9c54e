"""Thousands of fills through the Pub/Sub and Firestore emulators: duplicates, disorder, failing handlers."""

import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.storm import (
    Counted,
    app_of,
    check_books,
    check_effects,
    create_accounts,
    in_lanes,
    make_fills,
    publish,
)

from emulators.stack import Emulators, Stack

ACCOUNTS, FILLS, DUPLICATES = 50, int(os.environ.get("STOPLINE_FILLS", "800")), 0.3


@pytest.fixture(scope="module")
def faulty(emulators: Emulators) -> Iterator[Stack]:
    """A stack whose fills function fails; the topics behind it are pulled by the test."""
    with Stack(emulators=emulators, topology=in_lanes()) as running:
        main = Path(__file__).parent / "faulty" / "main.py"
        yield running.up(functions={"fills": main}, bigquery=False, attempts=50)


@pytest.mark.timeout(240)
def test_every_fill_is_booked_once_and_every_effect_goes_out_under_one_id(
    faulty: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1.6, R8.5, F01-F12: shuffled, 30 % twice, handlers that fail before and after commit and publish."""
    rng = random.Random(2)
    app = app_of(faulty, monkeypatch)
    create_accounts(app, ACCOUNTS)
    fills = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), FILLS, ACCOUNTS)
    sent = fills + rng.sample(fills, int(FILLS * DUPLICATES))
    bad = [{**fills[0], "fill_id": f"BAD{n}", "quantity": "NaN"} for n in range(20)]
    sent += bad
    rng.shuffle(sent)
    publish(faulty, sent, rng)

    counted = Counted(faulty)
    deadline = time.monotonic() + 200
    counts = counted.now()
    while sum(counts.values()) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.5)
        counts = counted.now()
    in_flight = len(sent) - sum(counts.values())
    print(
        f"published {len(sent)} = applied {counts['fills']} + duplicates {counts['duplicates']}"
        f" + quarantined {counts['quarantine']} + in flight {in_flight}"
    )
    assert counts == {"fills": FILLS, "duplicates": len(sent) - FILLS - len(bad), "quarantine": len(bad)}
    check_books(app, fills)
    check_effects(faulty, app, fills)
