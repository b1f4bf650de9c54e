"""Silence is told once an episode, and so is its end."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from emulators.fakes.smtp import self_signed
from stopline.adapters import beacon
from stopline.model.errors import Rejected
from stopline.model.lease import LeaseRequest
from stopline.model.messages import MOOT
from stopline.runtime.embedded import Embedded
from stopline.service.accounts.writer import AccountWriter
from stopline.service.trading.retire_adapter import adapters, retire_adapter

from ..make import NOON, account, trade


class Round:
    """A Stopline with one position, and the alerts that were raised."""

    def __init__(self) -> None:
        self.world = Embedded(NOON)
        self.alerts: list[tuple[str, bool]] = []
        self.words: list[str] = []
        self.causes: list[str] = []
        writer: AccountWriter = self.world.app.account_writer
        writer.create(account(), "ann")
        self.world.bus.subscribe("alerts", lambda message, _id, _attempt: self._note(message))
        self.world.app.recorder.record([trade(-1, 10, 100)], "m-1")

    def _note(self, message: Any) -> None:
        import json

        body = json.loads(message.data)
        watched = ("feed_silent", "sweep_silent", "protection_suppressed", "broker_silent")
        if body["type"] == "stopline.alert.v1" and body["kind"] in watched:
            self.alerts.append((body["kind"], body["resolved"]))
            self.words.append(body["summary"])
            self.causes.append(body["cause"])

    def price(self) -> None:
        body = {
            "type": "stopline.prices.v1",
            "as_of": self.world.clock.now().isoformat(),
            "symbols": ["SPY"],
            "last": [100.0],
        }
        self.world.publish("prices", body)
        self.world.run()

    def lease(self, adapter: str = "ibkr") -> None:
        app = self.world.app
        app.leases.grant(app.accounts.require(account().account), LeaseRequest(adapter=adapter))

    def minutes(self, count: int, sweep: bool = True, price: bool = True, lease: bool = False) -> None:
        for _ in range(count):
            self.world.clock.set(self.world.clock.now() + timedelta(seconds=60))
            if lease:
                self.lease()
            if price:
                self.price()
            if sweep:
                self.world.sweep()
            self.world.run()


def test_a_feed_that_falls_silent_in_open_hours_is_told_once_and_so_is_its_end() -> None:
    """R2.12, R5.4: also that the loss limit cannot be watched without it."""
    one = Round()
    one.minutes(3)
    assert one.alerts == []
    one.minutes(15, price=False)
    assert sorted(one.alerts) == [("feed_silent", False), ("protection_suppressed", False)]
    one.minutes(5)
    assert sorted(one.alerts)[1:] == [
        ("feed_silent", True),
        ("protection_suppressed", False),
        ("protection_suppressed", True),
    ]


def test_an_adapter_that_lets_its_lease_run_out_is_told_once_and_so_is_its_return() -> None:
    """R2.12, F24: positions are open, and nobody could close them through this broker."""
    one = Round()
    one.minutes(2)
    one.minutes(3, lease=True)
    one.minutes(4)
    assert one.alerts == []  # the lease was good for a minute more, and then three
    one.minutes(10)
    assert one.alerts == [("broker_silent", False)]
    one.minutes(2, lease=True)
    assert one.alerts == [("broker_silent", False), ("broker_silent", True)]


def test_a_second_adapter_that_falls_silent_is_told_beside_the_first() -> None:
    """R2.12: the one that was taken away must not hide the other."""
    one = Round()
    one.minutes(2)
    one.lease("old")
    one.minutes(10, lease=True)
    assert one.alerts == [("broker_silent", False)]
    one.minutes(10)
    assert one.alerts == [("broker_silent", False)] * 2


@pytest.mark.parametrize("why", ["flat", "closed", "never", "sweep was away"])
def test_no_adapter_is_missed_where_none_is_awaited(why: str) -> None:
    """R2.12: without positions, outside the session, before the first lease, and when Stopline refused leases itself."""
    one = Round()
    one.minutes(2)
    if why != "never":
        one.minutes(2, lease=True)
    if why == "flat":
        one.world.app.recorder.record([trade(-2, -10, 100)], "m-2")
    if why == "closed":
        one.world.clock.set(NOON.replace(hour=23))
    if why == "sweep was away":
        one.minutes(9, sweep=False)
        one.world.sweep()
        one.world.run()
        one.minutes(3, lease=True)
    else:
        one.minutes(10)
    assert [kind for kind, _ in one.alerts if kind == "broker_silent"] == []


def test_the_beacon_reaches_a_public_https_address_and_says_when_a_round_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.4: a real TLS server under the name of its certificate; `/fail` after a bad round, as healthchecks.io takes it."""
    paths: list[str] = []

    class Check(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    certificate, key = self_signed()
    (tmp_path / "both.pem").write_bytes(key + certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
    monkeypatch.setattr(beacon, "public_addresses", lambda _host, _port: ["127.0.0.1"])
    with HTTPServer(("127.0.0.1", 0), Check) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "both.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        one = beacon.HttpBeacon(f"https://localhost:{server.server_port}/ping/uuid")
        one.beat(ok=True)
        one.beat(ok=False)
        server.shutdown()
        thread.join()
    assert paths == ["/ping/uuid", "/ping/uuid/fail"]


def test_a_closed_market_may_be_silent() -> None:
    """R2.12: no alert in the evening."""
    one = Round()
    one.minutes(2)
    one.world.clock.set(NOON.replace(hour=23))
    one.minutes(10, price=False)
    assert [kind for kind, _ in one.alerts if kind == "feed_silent"] == []


def test_prices_notice_that_the_sweep_is_silent_and_the_sweep_that_it_is_back() -> None:
    """R5.4, F24, F30: sweeps that do not come are missed by whoever still runs."""
    one = Round()
    one.minutes(2)
    one.minutes(8, sweep=False)
    assert set(one.alerts) == {("sweep_silent", False)}
    one.alerts.clear()
    one.minutes(3)
    assert [over for _, over in one.alerts] == [False, True]  # the price before the sweep still misses it


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "0.0.0.0", "192.168.1.1"]
)
def test_the_beacon_calls_no_address_of_ours(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B71: the name may lead anywhere: one private address among the public ones is enough to refuse."""
    answers: Callable[..., Any] = lambda *_args, **_named: [  # noqa: E731
        (2, 1, 6, "", ("93.184.216.34", 443)),
        (2, 1, 6, "", (address, 443)),
    ]
    monkeypatch.setattr(beacon.socket, "getaddrinfo", answers)
    with pytest.raises(ValueError, match="not a public address"):
        beacon.public_addresses("watch.example.com", 443)


def test_the_beacon_tries_each_address_of_its_name_ipv4_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.4: a network without IPv6, and an address that does not answer, cost the heartbeat nothing."""
    answers = [
        (10, 1, 6, "", ("2a01:4f8:231:1b68::2", 443, 0, 0)),
        (2, 1, 6, "", ("88.99.55.1", 443)),
        (2, 1, 6, "", ("138.201.81.199", 443)),
    ]
    monkeypatch.setattr(beacon.socket, "getaddrinfo", lambda *_args, **_named: answers)
    tried: list[tuple[str, float]] = []

    def unreachable(address: tuple[str, int], timeout: float) -> Any:
        tried.append((address[0], timeout))
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(beacon.socket, "create_connection", unreachable)
    beacon.HttpBeacon("https://hc-ping.com/uuid", timeout_s=6).beat(ok=True)
    assert tried == [("138.201.81.199", 2), ("88.99.55.1", 2), ("2a01:4f8:231:1b68::2", 2)]


def test_a_beacon_that_cannot_be_reached_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """F60"""

    def nowhere(*_args: Any, **_named: Any) -> Any:
        raise OSError("no such host")

    monkeypatch.setattr(beacon.socket, "getaddrinfo", nowhere)
    beacon.HttpBeacon("https://watch.example.com/ping/1").beat(ok=True)


def brokers(one: Round) -> list[bool]:
    return [over for kind, over in one.alerts if kind == "broker_silent"]


def silent_adapter() -> Round:
    one = Round()
    one.minutes(2)
    one.minutes(2, lease=True)
    one.minutes(10)
    assert brokers(one) == [False]
    return one


def test_an_adapter_that_stays_silent_over_the_night_is_not_told_as_over_nor_anew() -> None:
    """R2.12, F24: one episode from the lease that ran out to the one that is renewed, however often the market closes."""
    one = silent_adapter()
    one.world.clock.set(NOON.replace(hour=23))
    one.minutes(3, price=False)
    one.world.clock.set(NOON + timedelta(days=3))  # Monday
    one.minutes(5)
    one.world.clock.set(NOON + timedelta(days=7))  # longer than an adapter is awaited
    one.minutes(3)
    assert brokers(one) == [False]
    one.minutes(1, lease=True)
    assert brokers(one) == [False, True]


def test_a_silent_adapter_whose_account_cannot_be_looked_after_is_not_told_as_over() -> None:
    """R2.12: nobody knows."""
    one = silent_adapter()
    app, now = one.world.app, one.world.clock.now()
    app.sweep.watchdog.look(app.desk, now, {account().account: now - timedelta(minutes=1)})
    one.world.run()
    assert brokers(one) == [False]


def test_a_silent_adapter_that_is_needed_for_nothing_says_why_it_is_over() -> None:
    """R2.12: it has given no sign of life."""
    one = silent_adapter()
    one.world.app.recorder.record([trade(-2, -10, 100)], "m-2")
    one.minutes(2)
    assert brokers(one) == [False, True]
    assert one.words[-1].startswith(
        "No position is open any more: Broker adapter ibkr has not renewed its lease"
    )
    assert one.causes[-1] == MOOT


def test_an_adapter_that_was_taken_away_is_missed_until_a_person_retires_it() -> None:
    """R2.12, R5.4: on record, and watched again when it comes back."""
    one = silent_adapter()
    app, name = one.world.app, account().account
    one.lease("new")
    with pytest.raises(Rejected, match="STILL_LEASED"):
        retire_adapter(app.store, app.journals, app.clock, name, "new", "ann", "x")
    with pytest.raises(Rejected, match="NO_ADAPTER"):
        retire_adapter(app.store, app.journals, app.clock, name, "odd", "ann", "x")
    for _ in range(2):
        one.minutes(1)
    assert brokers(one) == [False]
    retire_adapter(app.store, app.journals, app.clock, name, "ibkr", "ann", "we left that broker")
    assert [adapter.name for adapter in adapters(app.store, name)] == ["new"]
    one.minutes(1)
    assert brokers(one) == [False, True]
    assert one.words[-1].startswith("It was retired by hand: Broker adapter ibkr")
    one.world.run()
    [row] = [r for r in one.world.history.read("audit", []) if r["event"] == "adapter_retired"]
    assert (row["actor"], row["reason"]) == ("ann", "we left that broker")
    one.lease("ibkr")
    one.minutes(9)
    assert brokers(one).count(False) == 3  # it, and the other


def test_a_limit_that_is_seen_again_because_the_market_closed_says_so() -> None:
    """R2.12: no price has come."""
    one = Round()
    one.minutes(3)
    one.minutes(6, price=False)
    one.world.clock.set(NOON.replace(hour=21, minute=30))
    one.minutes(2, price=False)
    ends = [n for n, told in enumerate(one.alerts) if told == ("protection_suppressed", True)]
    assert [one.words[n].split(":")[0] for n in ends] == ["The market has closed, its last prices count"]
    assert [one.causes[n] for n in ends] == [MOOT]


def test_a_feed_that_stays_silent_over_the_night_is_not_told_as_over() -> None:
    """R2.12: its end is a price."""
    one = Round()
    one.minutes(3)
    one.minutes(15, price=False)
    one.world.clock.set(NOON.replace(hour=23))
    one.minutes(3, price=False)
    assert [over for kind, over in one.alerts if kind == "feed_silent"] == [False]
    one.minutes(2)
    assert [over for kind, over in one.alerts if kind == "feed_silent"] == [False, True]
