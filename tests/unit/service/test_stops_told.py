"""What people are told of a stop and of its end, and the chain of audit rows behind it."""

from __future__ import annotations

import orjson
import pytest

from stopline.model.control import TradingState
from stopline.ports import Unavailable
from stopline.service.documents.outbox import Unpublished

from ..make import account, trade
from .resume_calls import DEMO, ask, refused, told
from .world import World


def test_a_flatten_is_told_as_what_is_being_done(world: World) -> None:
    """I7: at that moment nothing was cancelled or closed yet."""
    app, _ = world.instance()
    ask(app, "kill", "k")
    assert told(world)[1] == 'Cancelling, closing all: "flat" comes when fills prove it.'
    ask(app, "kill", "k-2", "strategy:demo:core")
    assert told(world)[1].startswith("NOTHING_HELD")
    first = next(a["action"] for a in world.bus.bodies("alerts") if a["object"] == "strategy:demo:core")
    assert first == 'Cancelling, closing what is open there: "flat" comes when fills prove it.', (
        "it may be mistyped"
    )


@pytest.mark.parametrize(("action", "stands"), [("kill", "halted"), ("pause", "reduce-only")])
def test_a_stop_of_a_name_that_nobody_holds_says_so(world: World, action: str, stands: str) -> None:
    """I7, R0.4: whoever reads that all is being closed stops looking; and it may be meant, as before earnings."""
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100, strategy="core")], "m-1")
    ask(app, action, "k-1", "strategy:demo:cor")
    assert told(world) == (
        f"Strategy cor of account demo is {stands}; nothing is known by that name here: check the spelling",
        "NOTHING_HELD: nothing is known by the name cor in account demo; held are core.",
    )
    said = len(world.bus.bodies("alerts"))
    ask(app, action, "k-1", "strategy:demo:cor")
    assert len(world.bus.bodies("alerts")) == said, "once"
    ask(app, action, "k-2", "strategy:demo:core")
    assert "NOTHING_HELD" not in told(world)[1]
    ask(app, "pause", "l-1", "strategy:demo:none", actor="limit:max_strategy_drawdown")
    assert "NOTHING_HELD" not in told(world)[1], "a limit names what it has measured"


def test_a_stop_waits_for_no_book(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.1: it is stored and out before the book is read; what cannot be read claims nothing."""
    app, _ = world.instance()
    found: list[tuple[object, int]] = []

    def down(account: str) -> None:
        kept = world.document("controls", DEMO)
        found.append((kept and kept["is_stopped"], len(world.bus.bodies("alerts"))))
        raise Unavailable("the books are down")

    monkeypatch.setattr(app.books, "read", down)
    assert ask(app, "kill", "k", "strategy:demo:cor").state is TradingState.HALTED
    assert found == [(True, 1)]
    assert "NOTHING_HELD" not in told(world)[1]


def test_a_resume_says_what_still_holds(world: World) -> None:
    """I7: who reads that trading has resumed believes it."""
    app, _ = world.instance()
    app.trading._people = 1
    for scope in ("global", DEMO, "strategy:demo:core", "underlying:demo:SPY"):
        ask(app, "pause" if "SPY" in scope else "kill", f"k-{scope}", scope)
    world.wait(61)
    ask(app, "resume", "r-1", "strategy:demo:core")
    said = "Still stopped: all accounts (HALTED), account demo (HALTED), underlying SPY (REDUCING)."
    assert told(world) == ("The stop of strategy core of account demo is lifted by ann: test", said)
    ask(app, "resume", "r-2")
    assert told(world)[0] == "The stop of account demo is lifted by ann: test"
    assert told(world)[1] == "Still stopped: all accounts (HALTED), underlying SPY (REDUCING)."
    ask(app, "resume", "r-3", "global")
    assert told(world) == (
        "Trading resumed for all accounts by ann: test",
        "An account that was stopped by itself stays so.",
    )
    ask(app, "kill", "k-again")
    world.wait(61)
    ask(app, "resume", "r-4")
    assert told(world) == (
        "Trading resumed for account demo by ann: test",
        "Still stopped: underlying SPY (REDUCING).",
    )
    ask(app, "resume", "r-5", "underlying:demo:SPY")
    assert told(world)[1] == "Limits are watched as before."


def test_every_transition_is_a_link_of_its_documents_chain(world: World) -> None:
    """I8: in the same commit, in the store and on its way to BigQuery."""
    from stopline.service.audit.chain import exported_faults, stored_faults

    world.open_account(account("other"))
    app, _ = world.instance()
    ask(app, "kill", "k-1")
    ask(app, "kill", "k-2", "strategy:demo:core")
    ask(app, "pause", "p", "global")
    ask(app, "pause", "p-2", "account:other")
    refused(app, "r")
    assert stored_faults(world.shared) == (7, []), "two new accounts are on record too"
    made = [orjson.loads(d.data["row"]) for d in world.shared.query("audit") if "journal" in d.data["chain"]]
    exported = [
        {"event_id": r["event_id"], **r["row"]} for body in world.bus.bodies("history") for r in body["rows"]
    ] + made
    assert exported_faults(world.shared, exported) == (7, [])
    assert exported_faults(world.shared, exported[1:])[1]
    exported[2]["reason"] = "nothing"
    assert exported_faults(None, exported)[1]


@pytest.mark.parametrize("fault", ["lost", "applied_but_lost", "publish"])
def test_the_chain_has_no_gap_after_a_failure(world: World, fault: str) -> None:
    """I8, F11, F40."""
    from stopline.service.audit.chain import stored_faults

    app, store = world.instance()
    ask(app, "pause", "p")
    if fault == "publish":
        world.bus.down = True
    else:
        store.faults = [getattr(store, fault)]
    with pytest.raises((Unavailable, Unpublished)):
        ask(app, "kill", "k")
    world.bus.down = False
    ask(world.instance()[0], "kill", "k")
    assert stored_faults(world.shared) == (3, [])
