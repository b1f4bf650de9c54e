"""`stopline kill`, `pause`, `resume` and `status`: one word for a person, over HTTP or past it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from stopline.cli import trading as stopline_trading
from stopline.cli.main import main
from stopline.ports import Unavailable

from .conftest import Serve, Served, open_accounts, raw_fill
from .kill_calls import refuse

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
    unheard = "NOBODY MAY HEAR IT: no adapter of demo, other has a lease now. Do it at the broker by hand."
    assert said[2:5] == ["told: yes", unheard, "demo: CLOSING, 1 positions open"]
    assert "stopline status ACCOUNT" in said[-1]
    control = switch.world.app.trading.read("global")
    assert (control.flatten, control.actor, control.reason) == (True, "ann", "by hand")


@pytest.mark.parametrize(
    ("words", "state", "flatten"),
    [
        (["kill", "demo", "--cancel"], "HALTED", False),
        (["kill", "DEMO", "--flatten"], "HALTED", True),
        (["kill", "account:demo", "--reduce-only"], "REDUCING", False),
        (["kill", "account:DEMO"], "HALTED", True),
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


def test_a_resume_says_what_is_still_stopped(switch: Served, stopline: Stopline) -> None:
    """I7: ACTIVE alone reads as if all went on."""
    stopline("kill", "strategy:demo:core")
    stopline("pause", "demo")
    switch.world.clock.set(switch.world.clock.now() + timedelta(seconds=61))
    said = lines(stopline("resume", "demo", "--reason", "calm", "--confirm", "RESUME account:demo"))
    assert said[1:] == ["  still stopped: strategy:demo:core HALTED"]


def test_a_resume_says_loudly_who_refused_the_cancel(switch: Served, stopline: Stopline) -> None:
    """R5.1: an order may work on there, and nothing keeps it from filling."""
    stopline("kill", "demo", "--cancel")
    refuse(switch, "account:demo", 1)
    switch.world.clock.set(switch.world.clock.now() + timedelta(seconds=61))
    said = lines(stopline("resume", "demo", "--reason", "calm", "--confirm", "RESUME account:demo"))
    assert said[1].startswith("LOOK AT THE BROKER: a cancel was refused by other: orders may work there")


def test_a_pause_may_end_by_itself(
    switch: Served, stopline: Stopline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopline_trading, "_now", switch.world.clock.now)
    switch.world.publish("fills", raw_fill(strategy="core"))
    switch.world.run()
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
    endless = stopline("pause", "demo", "--minutes", "nan")
    assert (endless.exit_code, "--minutes is no number" in endless.stderr) == (2, True)


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
    assert stopline("status").stderr.splitlines()[-1].count("does not answer") == 1


Answer = tuple[str, str, bytes]  # status line, header of the place it sends on to, body
PORTAL = b"<html><title>Welcome to the airport</title>" + b"x" * 5000
OTHERS: dict[str, Answer] = {
    "401 UNAUTHENTICATED: who": ("401 X", "", b'{"title": "UNAUTHENTICATED", "detail": "who"}'),
    "403 FORBIDDEN: no": ("403 X", "", b'{"title": "FORBIDDEN", "detail": "no"}'),
    "404 NOT_STOPLINE: <html><title>Welcome": ("404 X", "", PORTAL),
    "400 NOT_STOPLINE: <html><title>Welcome": ("400 X", "", PORTAL),
    "500 NOT_STOPLINE: an empty answer": ("500 X", "", b""),
    "503 UNAVAILABLE: the outcome": ("503 X", "", b'{"title": "UNAVAILABLE", "detail": "the outcome"}'),
    "200 NOT_STOPLINE: <html><title>Welcome": ("200 OK", "", PORTAL),
    '200 NOT_STOPLINE: {"scope": "acc': ("200 OK", "", b'{"scope": "acc'),
    "200 NOT_STOPLINE: [1]": ("200 OK", "", b"[1]"),
    "200 : that is no answer": ("200 OK", "", b'{"scope": "account:demo"}'),
    "302 NOT_STOPLINE: sends on to http://localhost:9/login": ("302 X", "http://localhost:9/login", b""),
    "307 NOT_STOPLINE: sends on to": ("307 X", "/kill", b""),
}


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """Something else where the kill switch should be: it answers everything alike, and keeps the paths."""
    answer: list[Answer] = []
    asked: list[str] = []

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        status, place, body = answer[0]
        start(status, [("Content-Length", str(len(body))), *([("Location", place)] if place else [])])
        return [body]

    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("KILL_SWITCH", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("STOPLINE_TOKEN", "t")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answers(given: Answer) -> list[str]:
        answer[:] = [given]
        return asked

    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("said", OTHERS)
@pytest.mark.parametrize("word", ["kill", "pause"])
def test_whatever_else_answers_it_is_not_known_to_be_stopped(
    other: Callable[[Answer], list[str]], said: str, word: str
) -> None:
    """R5.1: what was answered, that the same again is safe, and the way past; and no token is sent on to anywhere."""
    asked = other(OTHERS[said])
    result = CliRunner().invoke(main, [word, "demo", "--request-id", "k-0"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"NOT KNOWN TO BE STOPPED: {said}" in result.stderr.replace(
        "the kill switch does not answer: ", ""
    )
    assert f"`stopline {word} account:demo --reason 'by hand' --request-id k-0`" in result.stderr
    assert f"`stopline {word} account:demo --reason 'by hand' --direct`" in result.stderr
    assert "docs/kill-switch.md" in result.stderr
    assert set(asked) == {f"/{word}"}


def test_an_answer_that_is_cut_off_or_never_comes_is_not_known_to_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R5.1: and it says so before it asks again."""
    monkeypatch.setattr("stopline.cli.switch.TIMEOUT_S", 0.05)
    monkeypatch.setenv("STOPLINE_TOKEN", "t")
    for sent in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 20", b"junk\r\n\r\n"):
        for hangs in (False, True):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                monkeypatch.setenv("KILL_SWITCH", f"http://127.0.0.1:{listening.getsockname()[1]}")
                thread = threading.Thread(target=_answer_twice, args=(listening, sent, hangs))
                thread.start()
                result = CliRunner().invoke(main, ["kill", "demo"])
                thread.join()
            assert (result.exit_code, result.stdout) == (1, ""), sent
            assert "NOT KNOWN TO BE STOPPED" in result.stderr, sent


def _answer_twice(listening: socket.socket, sent: bytes, hangs: bool) -> None:
    listening.settimeout(0.2)
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
        for _ in range(2):
            taken = kept.enter_context(listening.accept()[0])
            taken.recv(4096)
            taken.sendall(sent)
            if not hangs:
                taken.close()
        taken.recv(1)  # until nobody waits for an answer any more


def test_an_id_of_before_says_what_holds_now(switch: Served, stopline: Stopline) -> None:
    """R5.1: it was carried out once and changes nothing; that is no stop."""
    lines(stopline("kill", "demo", "--request-id", "k-0"))
    switch.world.clock.set(switch.world.clock.now() + timedelta(seconds=61))
    lines(stopline("resume", "demo", "--reason", "calm", "--confirm", "RESUME account:demo"))
    for more in ([], ["--json"]):
        again = stopline("kill", "demo", "--request-id", "k-0", *more)
        assert again.exit_code == 1
        assert "stored: yes" not in again.stdout
        assert "ACTIVE" in again.stdout
        assert "NOT STOPPED: account:demo is ACTIVE. An id counts once" in again.stderr
    lines(stopline("pause", "demo"))
    assert "is REDUCING" in stopline("kill", "demo", "--request-id", "k-0").stderr
    other = lines(
        stopline("kill", "demo", "--cancel", "--request-id", "k-0")
    )  # another wish: another request
    assert other[0].startswith("account:demo is HALTED")
    assert other[1].startswith("stored: yes, request k-0~")
    assert other[1].endswith(": k-0 was used, or is none")
    assert lines(stopline("kill", "demo"))[0].startswith("account:demo is HALTED")


def test_a_close_of_before_closes_nothing_where_a_halt_holds_that_does_not(
    switch: Served, stopline: Stopline
) -> None:
    """R5.1: the kill with its closing was resumed, the one that holds now only cancels: what is open stays open."""
    hold(switch)
    lines(stopline("kill", "demo", "--request-id", "k-1"))
    switch.world.clock.set(switch.world.clock.now() + timedelta(seconds=70))
    switch.world.publish("fills", raw_fill("E-2", side="SELL"))
    switch.world.run()
    switch.world.sweep()
    switch.world.run()
    lines(stopline("resume", "demo", "--reason", "calm", "--confirm", "RESUME account:demo"))
    switch.world.publish("fills", {**raw_fill("E-3"), "executed_at": "2026-11-18T17:01:10Z"})
    switch.world.run()
    lines(stopline("kill", "demo", "--cancel", "--request-id", "k-2"))
    for more in ([], ["--json"]):
        again = stopline("kill", "demo", "--request-id", "k-1", *more)
        assert again.exit_code == 1
        assert "stored: yes" not in again.stdout
        assert "NOT CLOSED: account:demo is HALTED, and nothing closes it" in again.stderr
        assert "k-1 was carried out before: `stopline kill account:demo` without --request-id" in again.stderr
    assert "demo: CLOSING, 1 positions open" in lines(stopline("kill", "demo"))


def test_a_lock_of_everything_is_refused_before_it_is_sent(switch: Served, stopline: Stopline) -> None:
    result = stopline("kill", "--lock")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "NOT STOPPED: --lock ends with an account's session" in result.stderr
    assert switch.world.app.trading.read("global").epoch == 0
    assert lines(stopline("kill", "demo", "--lock"))[0].startswith("account:demo is HALTED")


def test_a_token_that_no_header_may_hold_is_not_shown(
    switch: Served, stopline: Stopline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOPLINE_TOKEN", "secret\nX: y")
    result = stopline("kill", "demo")
    assert (result.exit_code, "secret" in result.stderr) == (2, False)
    assert "NOT STOPPED: STOPLINE_TOKEN" in result.stderr


@pytest.mark.parametrize("way", [[], ["--direct"]])
def test_a_mistyped_name_is_no_success(switch: Served, stopline: Stopline, way: list[str]) -> None:
    """R5.1, R0.4: the stop is stored, and whoever pulled it hears that it closed nothing."""
    hold(switch)
    said = stopline("kill", "underlying:demo:SPYY", *way)
    assert said.exit_code == 1
    assert "underlying:demo:SPYY: NOTHING_HELD, 0 positions open" in said.stdout
    assert "FLAT" not in said.stdout
    assert "nothing is known by the name SPYY in account demo; held are SPY" in said.stderr
    assert switch.world.app.trading.standing("underlying:demo:SPYY").state == "HALTED"
    shown = lines(stopline("status", "underlying:demo:SPYY", *way))
    assert any("held are SPY" in line for line in shown)
    assert not any("flat" in line for line in shown)
