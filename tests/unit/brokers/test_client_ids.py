"""What a broker hands back of our own order id: fills name the command and so the trade that it closes (R4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.ledger.leg_name import CLIENT_ID, marked_id, naming
from stopline.model.fill import Fill
from stopline.model.ids import digest, short_id

from .samples import SAMPLES, changed, fills_of

COMMAND = marked_id("order:O-1", "a command")
KITE = SAMPLES["kite trade"].message
POSTBACK = SAMPLES["kite postback"].message | {"status": "COMPLETE", "filled_quantity": 1}
POSTBACK |= {"order_id": KITE["order_id"], "trades": [KITE], "exchange": "MCX", "multiplier": "1"}
[TRADE] = SAMPLES["upstox trades"].message["data"]
UPDATE = SAMPLES["upstox order"].message | {"status": "complete", "filled_quantity": 1}
UPDATE |= {"order_id": TRADE["order_id"], "trades": [TRADE]}
BESIDE = {"trades": None, "applied": [], "average_price": 4852.0, "tradingsymbol": KITE["tradingsymbol"]}
PROVISIONAL = {name: value for name, value in (POSTBACK | BESIDE).items() if name != "trades"}
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "alpaca": ("alpaca", SAMPLES["alpaca trade update"].message, ("data", "order", "client_order_id")),
    "alpaca legs": ("alpaca", SAMPLES["alpaca multi-leg"].message, ("data", "order", "client_order_id")),
    "ibkr": ("ibkr", SAMPLES["ibkr execution"].message, ("execution", "orderRef")),
    "flex": ("ibkr", SAMPLES["ibkr flex assignment"].message, ("orderReference",)),
    "binance": ("binance", SAMPLES["binance futures"].message, ("o", "c")),
    "binance spot": ("binance", SAMPLES["binance spot"].message, ("event", "c")),
    "tastytrade": ("tastytrade", SAMPLES["tastytrade order"].message, ("data", "external-identifier")),
    "kite": ("kite", POSTBACK, ("tag",)),
    "kite, provisional": ("kite", PROVISIONAL, ("tag",)),
    "upstox": ("upstox", UPDATE, ("tag",)),
}


def read(case: str, name: object) -> list[Fill]:
    broker, message, path = CASES[case]
    more = {"account": "demo", "currency": "USD", "multiplier": "1"}
    return fills_of(changed(message, *path, name), broker=broker, **more)


@pytest.mark.parametrize("id_", [COMMAND, short_id(COMMAND)], ids=["whole", "in 20 letters and digits"])
@pytest.mark.parametrize("case", CASES)
def test_the_client_order_id_names_command_and_trade(case: str, id_: str) -> None:
    """R4.5: the same fill from a message without it is the same fill."""
    fills, plain = read(case, id_), read(case, None)
    assert fills
    for fill, other in zip(fills, plain, strict=True):
        named = naming(fill)
        assert named is not None
        assert named("order:O-1")
        assert not named("order:O-2")
        if not case.startswith("binance"):
            assert fill.hash == other.hash


@pytest.mark.parametrize("case", CASES)
def test_an_id_of_one_s_own_says_nothing_whatever_it_is(case: str) -> None:
    for id_ in ("my order", "x" * 199, COMMAND[:-1]):
        assert all(CLIENT_ID not in (fill.model_extra or {}) for fill in read(case, id_))
    [*fills] = read(case, digest("a close of a whole position"))
    assert {(fill.model_extra or {})[CLIENT_ID] for fill in fills} == {digest("a close of a whole position")}
