"""stopline adapters: see them, and say that one was taken away: R2.12, R5.4."""

from __future__ import annotations

import json
from datetime import timedelta

from click.testing import CliRunner, Result

from stopline.cli.main import main
from stopline.model.lease import LeaseRequest
from stopline.runtime.embedded import Embedded

from ..make import NOON, account


def test_a_silent_adapter_is_listed_and_retired_and_a_living_one_is_not() -> None:
    world = Embedded(NOON)
    world.app.account_writer.create(account(), "ann")
    world.sweep()
    world.run()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["adapters", *arguments], obj=lambda: world.app)

    assert run("list", "demo").output == "no adapter of demo ever had a lease\n"
    world.app.leases.grant(world.app.accounts.require("demo"), LeaseRequest(adapter="old"))
    world.clock.set(NOON + timedelta(minutes=2))
    world.app.leases.grant(world.app.accounts.require("demo"), LeaseRequest(adapter="new"))
    told = json.loads(run("list", "demo", "--json").output)
    assert [(a["adapter"], a["state"]) for a in told] == [("new", "leased"), ("old", "silent")]
    assert "new" in run("list", "demo").output
    done = run("retire", "demo", "old", "--reason", "gone")
    assert (done.exit_code, done.output) == (0, "old of demo is retired: nobody misses it any more\n")
    for wrong in (("old", 2), ("new", 2)):
        assert run("retire", "demo", wrong[0], "--reason", "x").exit_code == wrong[1]
    assert run("retire", "demo", "new").exit_code == 2  # without a reason
    assert run("list", "nobody").exit_code == 2
