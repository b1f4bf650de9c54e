"""docs/client.md: its adapter runs as it stands there; the client's HTTP gives its token to nobody else."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.serving import make_server

from stopline.adapters.clock import ManualClock
from stopline.client import Client, http
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import canonical

from .client_calls import SPY, act, client_of, command
from .conftest import NOON, ROOT, Served, raw_fill, wait


def test_a_token_goes_over_https_only() -> None:
    with pytest.raises(ValueError, match="https"):
        http("http://example.com", lambda: "t")


def test_no_redirect_gets_the_token() -> None:
    """The host that it names may be anybody's."""
    seen: list[str] = []

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        start(
            "307 X",
            [("Location", f"http://localhost:{server.server_port}/elsewhere"), ("Content-Length", "0")],
        )
        return []

    server = make_server("127.0.0.1", 0, answer)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    client = Client(
        "demo", "a", http(f"http://127.0.0.1:{server.server_port}", lambda: "t"), ManualClock(NOON)
    )
    assert not client.renew()
    thread.join()
    server.server_close()
    assert seen == ["/v1/accounts/demo/lease"]
    assert "307" in client.fault
    assert f"sends on to http://localhost:{server.server_port}/elsewhere" in client.fault


class Broker:
    """A broker that does what it is told, for the adapter of docs/client.md."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Decimal] = {("core", "SPY"): Decimal(4)}
        self.told: list[str] = []
        self.working: list[SimpleNamespace] = []

    def is_connected(self) -> bool:
        return True

    def position(self, strategy: str, symbol: str) -> Decimal:
        return self.held.get((strategy, symbol), Decimal(0))

    def positions(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(strategy=s, instrument=SPY, units=units) for (s, _), units in self.held.items()
        ]

    def rest(self, id_: str, units: int, strategy: str = "core") -> None:
        self.working.append(SimpleNamespace(id=id_, strategy=strategy, instrument=SPY, units=Decimal(units)))

    def working_orders(self) -> list[SimpleNamespace]:
        return list(self.working)

    def cancel(self, id_: str) -> None:
        self.told.append(f"cancel {id_}")
        self.working = [order for order in self.working if order.id != id_]

    def send(self, strategy: str, instrument: Instrument, side: str, quantity: Decimal, **more: Any) -> None:
        self.told.append(f"{side} {quantity} {instrument.symbol}")
        signed = quantity if side == "BUY" else -quantity
        self.held[strategy, instrument.symbol] = self.position(strategy, instrument.symbol) + signed


def test_the_adapter_of_the_page_works(swept: Served) -> None:
    """docs/client.md: run as it stands there."""
    page = (ROOT / "docs" / "client.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    broker = Broker()
    adapter = names["Adapter"](client_of(swept), broker)
    assert adapter.trade(SPY, "BUY", Decimal(2), "core").startswith("there is no lease")
    adapter.every_20_seconds()
    assert "no_price: there is no usable price" in adapter.trade(SPY, "BUY", Decimal(2), "core")
    batch = {"type": "stopline.prices.v1", "source": "f", "as_of": "2026-11-18T17:00:00Z"}
    swept.world.publish("prices", {**batch, "symbols": ["SPY"], "last": [100]})
    swept.world.run()
    terms = {"stop": "99", "target": "102", "confidence": "0.9"}
    assert adapter.trade(SPY, "BUY", Decimal(2), "core", **terms) is None
    assert adapter.on_orders_message(command()) == "closing 6"
    assert adapter.on_orders_message(command()) == "it was carried out"
    cancel = command(
        command_id="c-9", action="cancel_all", strategy=None, instrument=None, side=None, quantity=None
    )
    broker.rest("o-1", -1)
    assert adapter.on_orders_message(cancel) == "cancelled"
    adapter.on_execution(Fill.model_validate(raw_fill()))
    assert broker.told == ["BUY 2 SPY", "SELL 6 SPY", "cancel o-1"]
    broker.held["core", "SPY"] = Decimal(4)
    for name, units in (("buy", 1), ("stop", -4), ("target", -4)):
        broker.rest(name, units)
    broker.rest("entry", 1, strategy="wings")
    adding = json.loads(cancel) | {"command_id": "c-10", "action": "cancel_adding", "strategy": "core"}
    assert adapter.on_orders_message(canonical(adding)) == "cancelled"
    assert broker.told[3:] == ["cancel buy", "cancel target"]
    act(swept, "pause", "p", "strategy:demo:wings")
    wait(swept, 61)
    adapter.every_20_seconds()
    assert broker.told[5:] == ["cancel entry"], "whether or not the command has come: the lease knows it"
    assert [order.id for order in broker.working] == ["stop"]


@pytest.mark.parametrize(
    "url", ["http://localhost.example.com", "http://127.0.0.1.example.com", "ftp://x", "file:///x"]
)
def test_a_token_goes_to_https_or_this_machine_only(url: str) -> None:
    """B71: a host that only begins like this machine is another one."""
    with pytest.raises(ValueError, match="only over https"):
        http(url, lambda: "token")
    http("https://api.example.com", lambda: "token")
    http("http://localhost:8080", lambda: "token")
