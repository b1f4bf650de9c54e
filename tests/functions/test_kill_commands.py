"""`stopline kill`, `pause`, `resume` and `status`: one word for a person, over HTTP or past it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from stopline.cli import trading as stopline_trading
from stopline.cli.main import main
from stopline.ports import Unavailable

from .conftest import Served, open_accounts, raw_fill

Serve = Callable[[str], Served]
Stopline = Callable[..., Result]
EVERYWHERE = "global is HALTED (was ACTIVE), epoch 1"


@pytest.fixture
def switch(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The function on a port of this machine, and the environment that names it."""
    served = serve("kill_switch")
    open_accounts(served, "demo", "other")
    server = make_server("127.0.0.1", 0, served.client.application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("KILL_SWITCH", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("STOPLINE_TOKEN", "ann-token-0001")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stopline(switch: Served) -> Stopline:
    return lambda *args, **more: CliRunner().invoke(main, list(args), obj=lambda: switch.app, **more)


def hold(switch: Served) -> None:
    switch.world.publish("fills", raw_fill())
    switch.world.run()


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_one_word_stops_everything_and_says_what_is_open(switch: Served, stopline: Stopline) -> None:
    """R5.1: stored, told, and what is still open; nothing is asked."""
    hold(switch)
    said = lines(stopline("kill"))
    assert said[0] == EVERYWHERE
    assert said[1].startswith("stored: yes, request cli-kill-")
    assert said[2:4] == ["told: yes", "demo: CLOSING, 1 positions open"]
    assert "stopline status ACCOUNT" in said[-1]
    control = switch.world.app.trading.read("global")
    assert (control.flatten, control.actor, control.reason) == (True, "ann", "by hand")


@pytest.mark.parametrize(
    ("words", "state", "flatten"),
    [
        (["kill", "demo", "--cancel"], "HALTED", False),
        (["kill", "DEMO", "--flatten"], "HALTED", True),
        (["kill", "account:demo", "--reduce-only"], "REDUCING", False),
        (["pause", "demo"], "REDUCING", False),
    ],
)
def test_each_mode_is_a_word(
    switch: Served, stopline: Stopline, words: list[str], state: str, flatten: bool
) -> None:
    """R5.1: cancel only, cancel and flatten, reduce-only; a bare name is an account."""
    assert lines(stopline(*words, "--reason", "VIX"))[0].startswith(f"account:demo is {state} (was ACTIVE)")
    control = switch.world.app.trading.read("account:demo")
    assert (control.state, control.flatten, control.reason) == (state, flatten, "VIX")


def test_a_resume_is_typed_and_takes_two_people_for_the_whole(
    switch: Served, stopline: Stopline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1, F45: what is asked for can be seen before it is typed."""
    stopline("pause")
    early = stopline("resume", "--reason", "calm", "--confirm", "RESUME global")
    assert (early.exit_code, "423 TOO_EARLY" in early.stderr) == (1, True)
    switch.world.clock.set(switch.world.clock.now() + timedelta(seconds=61))
    wrong = stopline("resume", "--reason", "calm", input="yes\n")
    assert "global is REDUCING" in wrong.stdout
    assert (wrong.exit_code, "NOT_CONFIRMED" in wrong.stderr) == (2, True)
    first = lines(stopline("resume", "--reason", "calm", input="RESUME global\n"))
    assert first[-1] == "noted, global is still REDUCING: a second person must resume within 10 minutes"
    assert "ann asked to resume" in lines(stopline("status"))[2]
    monkeypatch.setenv("STOPLINE_TOKEN", "ida-token-0004")
    second = stopline("resume", "--reason", "calm", "--confirm", "RESUME global")
    assert lines(second) == ["global is ACTIVE (was REDUCING), epoch 2"]


def test_a_pause_may_end_by_itself(
    switch: Served, stopline: Stopline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopline_trading, "_now", switch.world.clock.now)
    lines(stopline("pause", "strategy:demo:core", "--minutes", "30"))
    said = lines(stopline("status", "strategy:demo:core"))
    assert said[1].endswith("by ann: by hand, until 2026-11-18T17:30:00Z")
    assert "  strategy:demo:core REDUCING" in lines(stopline("status", "demo"))
    for words in (
        ["--until", "noon"],
        ["--until", "2026-11-18T16:00:00Z"],
        ["--minutes", "1", "--until", "x"],
    ):
        assert stopline("pause", "demo", *words).exit_code == 2


def test_where_the_switch_does_not_answer_the_second_path_is_printed(
    switch: Served, stopline: Stopline
) -> None:
    """R5.1, F41: and it works: past the function, with the same request."""
    switch.outage()
    switch.bus.fault = Unavailable("the bus is down")
    result = stopline("kill", "demo", "--cancel", "--lock", "--reason", "VIX's up", "--request-id", "k-0")
    assert result.exit_code == 1
    assert "NOT KNOWN TO BE STOPPED" in result.stderr
    same = """stopline kill account:demo --cancel --lock --reason 'VIX'"'"'s up'"""
    assert f"`{same} --request-id k-0`" in result.stderr
    assert f"`{same} --direct`" in result.stderr
    switch.bus.fault = None
    told = lines(stopline("kill", "demo", "--request-id", "k-1"))
    assert told[0] == "account:demo: the adapters are told to halt and cancel, request k-1"
    switch.store.fault = None
    again = lines(stopline("kill", "demo", "--request-id", "k-2", "--direct"))
    assert again[0].startswith("account:demo is HALTED")
    assert switch.world.app.trading.read("account:demo").actor.startswith("cli:")
    assert lines(stopline("status", "demo", "--direct"))[0].startswith("account:demo is HALTED")


def test_what_is_wrong_is_said_in_one_line(
    switch: Served, stopline: Stopline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "404 NOT_FOUND" in stopline("kill", "nobody").stderr
    assert json.loads(stopline("kill", "demo", "--json").stdout)["counts"] == {"accounts": 1, "flat": 1}
    monkeypatch.setenv("STOPLINE_TOKEN", "eve-token-0003")
    assert "403 FORBIDDEN: this needs the right kill" in stopline("kill", "demo").stderr
    monkeypatch.setenv("KILL_SWITCH", "http://example.com")
    assert "only over https" in stopline("kill", "demo").stderr
    monkeypatch.delenv("KILL_SWITCH")
    assert "--direct" in stopline("kill", "demo").stderr
    monkeypatch.setenv("KILL_SWITCH", "http://127.0.0.1:9")
    assert "does not answer" in stopline("status").stderr
