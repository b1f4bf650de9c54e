"""Binance: last fill and not cumulative, fees in coins, liquidation, deleveraging, delivery, funding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.ledger.leg_name import marked_id
from stopline.model.fill import Fill, FillKind

from .samples import SAMPLES, changed, fills_of, refusal

FUTURES = SAMPLES["binance futures"].message
SPOT = SAMPLES["binance spot"].message
FUNDING = {
    "e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": 1564745798938,
    "a": {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "122624.12", "cw": "100.12", "bc": "-1.25"}], "P": []},
}  # fmt: skip


def read(message: dict[str, Any], **more: str) -> list[Fill]:
    return fills_of(message, broker="binance", account="demo", **more)


def refused(message: dict[str, Any], **more: str) -> str:
    return refusal(message, broker="binance", account="demo", **more)


def test_a_spot_fill_is_the_last_one_with_a_fee_in_the_coin_bought() -> None:
    [fill] = read(SPOT)
    assert (fill.quantity, fill.price) == (Decimal("0.4"), Decimal("0.1026441"))
    assert (fill.fee, fill.fee_currency) == (Decimal("0.0004"), "ETH")
    assert (fill.instrument.symbol, fill.instrument.currency, fill.instrument.base) == (
        "ETH-BTC",
        "BTC",
        "ETH",
    )


def test_a_trade_id_counts_by_symbol_and_by_market() -> None:
    spot, other = changed(SPOT, "event", "t", 5), changed(SPOT, "event", "s", "LTCBTC")
    futures = changed(FUTURES, "o", "t", 5)
    [a], [b], [c] = read(spot), read(changed(other, "event", "t", 5)), read(futures)
    assert len({a.key, b.key, c.key}) == 3


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCFDUSD", "BTC", "FDUSD"),
        ("1INCHUSDT", "1INCH", "USDT"),
        ("TUSDUSDT", "TUSD", "USDT"),
        ("BNBEUR", "BNB", "EUR"),
    ],
)
def test_a_pair_is_split_at_the_longest_quote(symbol: str, base: str, quote: str) -> None:
    message = changed(changed(SPOT, "event", "s", symbol), "event", "N", base)
    [fill] = read(message)
    assert (fill.instrument.symbol, fill.instrument.currency) == (f"{base}-{quote}", quote)
    assert fill.fee_currency == base


def test_a_pair_that_ends_with_nothing_known_is_refused_or_told() -> None:
    message = changed(SPOT, "event", "s", "ETHXXX")
    assert refused(message) == "MISSING_ATTRIBUTE"
    assert read(message, quote="XXX")[0].instrument.symbol == "ETH-XXX"


@pytest.mark.parametrize(("message", "path"), [(SPOT, ("event",)), (FUTURES, ("o",))])
def test_a_fill_without_a_fee_has_none_and_a_fee_without_a_currency_is_refused(
    message: dict[str, Any], path: tuple[str, ...]
) -> None:
    bare = changed(changed(message, *path, "n", None), *path, "N", None)
    assert read(bare)[0].fee == 0
    assert refused(changed(message, *path, "N", None)) == "BAD_MESSAGE"


@pytest.mark.parametrize(("message", "path"), [(SPOT, ("event",)), (FUTURES, ("o",))])
def test_a_trade_without_a_trade_id_is_refused(message: dict[str, Any], path: tuple[str, ...]) -> None:
    assert refused(changed(message, *path, "t", -1)) == "BAD_MESSAGE"


@pytest.mark.parametrize(("message", "path"), [(SPOT, ("event",)), (FUTURES, ("o",))])
def test_the_client_order_id_of_a_close_command_names_the_trade_that_it_closes(
    message: dict[str, Any], path: tuple[str, ...]
) -> None:
    """R4.5: any other one says nothing."""
    command = marked_id("order:O-1", "a command")
    assert read(changed(message, *path, "c", command))[0].group_id == command
    assert read(changed(message, *path, "c", f"x-{command}"[:32]))[0].group_id is None


@pytest.mark.parametrize(
    ("changes", "kind", "cause"),
    [
        ({"x": "CALCULATED"}, FillKind.LIQUIDATION, None),
        ({"c": "autoclose-1234"}, FillKind.LIQUIDATION, "liquidation"),
        ({"x": "CALCULATED", "c": "autoclose-1234", "t": 0}, FillKind.LIQUIDATION, "liquidation"),
        ({"c": "adl_autoclose"}, FillKind.LIQUIDATION, "adl"),
        ({"x": "CALCULATED", "c": "adl_autoclose"}, FillKind.LIQUIDATION, "adl"),
        ({"c": "settlement_autoclose-7"}, FillKind.SETTLE, "delivery"),
    ],
)
def test_what_the_exchange_does_by_force_is_told(
    changes: dict[str, Any], kind: FillKind, cause: str | None
) -> None:
    [fill] = read({**FUTURES, "o": {**FUTURES["o"], **changes}})
    assert fill.kind is kind
    assert (fill.model_extra or {}).get("cause") == cause


@pytest.mark.parametrize("status", ["FILLED?", "", None, "PENDING", 7])
@pytest.mark.parametrize(("message", "path"), [(SPOT, ("event",)), (FUTURES, ("o",))])
def test_an_order_of_an_unknown_status_is_refused_whatever_was_executed(
    message: dict[str, Any], path: tuple[str, ...], status: Any
) -> None:
    """Issue 4.6: the status of the order (X) is never guessed, nor that of the execution (x)."""
    assert refused(changed(message, *path, "X", status)) in ("UNKNOWN_STATUS", "BAD_MESSAGE")
    assert refused(changed(message, *path, "x", status)) in ("UNKNOWN_STATUS", "BAD_MESSAGE")
    assert read(changed(message, *path, "X", "EXPIRED_IN_MATCH"))


def test_hedge_mode_has_a_long_and_a_short_position_of_one_contract() -> None:
    """Domain 3.3: a sale for the short bucket closes nothing of the long one."""
    order = {**FUTURES["o"], "S": "BUY", "ps": "LONG"}
    [long_] = read({**FUTURES, "o": order})
    [short] = read({**FUTURES, "o": {**order, "S": "SELL", "ps": "SHORT", "t": 5}}, strategy="grid")
    assert (long_.strategy, short.strategy) == ("default-long", "grid-short")
    assert read(FUTURES)[0].strategy == "default"


def test_two_liquidations_without_a_trade_id_are_two() -> None:
    order = {**FUTURES["o"], "x": "CALCULATED", "t": 0}
    [one], [two] = read({**FUTURES, "o": order}), read({**FUTURES, "o": {**order, "z": "0.02"}})
    assert one.key != two.key


@pytest.mark.parametrize(("bucket", "kept"), [("BOTH", None), ("LONG", "LONG"), ("SHORT", "SHORT")])
def test_the_bucket_of_hedge_mode_is_kept(bucket: str, kept: str | None) -> None:
    [fill] = read(changed(FUTURES, "o", "ps", bucket))
    assert (fill.model_extra or {}).get("position_side") == kept
    assert refused(changed(FUTURES, "o", "ps", "MIDDLE")) == "UNKNOWN_SIDE"


@pytest.mark.parametrize("change", [("fs", "CM"), ("o", "ma", "BTC")])
def test_a_contract_in_its_coin_is_inverse_and_its_size_is_told(change: tuple[Any, ...]) -> None:
    message = changed(changed(changed(FUTURES, "o", "s", "BTCUSD_PERP"), "o", "N", "BTC"), *change)
    assert refused(message) == "MISSING_ATTRIBUTE"
    [fill] = read(message, multiplier="100")
    contract = fill.instrument
    assert (contract.inverse, contract.currency, contract.multiplier) == (True, "BTC", 100)
    assert (contract.underlying, fill.fill_id) == ("BTC-USD", "cm:BTCUSD_PERP:987654321")
    assert refused(changed(message, "fs", "PM"), multiplier="100") == "UNKNOWN_STATUS"


def test_a_delivery_contract_has_an_expiry_and_the_pair_as_underlying() -> None:
    [fill] = read(changed(FUTURES, "o", "s", "BTCUSDT_261225"))
    assert str(fill.instrument.expiry) == "2026-12-25"
    assert fill.instrument.underlying == "BTC-USDT"


def test_funding_is_a_payment_of_the_contract_or_of_no_one() -> None:
    [paid] = read(FUNDING)
    assert (paid.kind, paid.fee, paid.instrument.kind) == (FillKind.FUNDING, Decimal("1.25"), "cash")
    isolated = changed(FUNDING, "a", "P", [{"s": "BTCUSDT", "pa": "1"}])
    [got] = read(changed(isolated, "a", "B", 0, "bc", "0.5"))
    assert (got.fee, got.instrument.symbol) == (Decimal("-0.5"), "BTCUSDT")


@pytest.mark.parametrize("bucket", ["LONG", "SHORT", "BOTH"])
def test_the_funding_of_an_isolated_position_is_of_its_bucket(bucket: str) -> None:
    isolated = changed(FUNDING, "a", "P", [{"s": "BTCUSDT", "pa": "1", "ps": bucket}])
    [paid] = read(isolated, strategy="grid")
    assert (paid.instrument.symbol, paid.strategy) == (
        "BTCUSDT",
        "grid" if bucket == "BOTH" else f"grid-{bucket.lower()}",
    )
    [both] = read(changed(isolated, "a", "P", [{"s": "BTCUSDT", "ps": side} for side in ("LONG", "SHORT")]))
    assert (both.instrument.kind, both.strategy) == ("cash", "default")
    assert refused(changed(isolated, "a", "P", 0, "ps", "UP")) == "UNKNOWN_SIDE"


def test_the_funding_of_a_contract_in_its_coin_is_known_by_its_name() -> None:
    """Streams of COIN-M alone do not say `fs`."""
    isolated = changed(FUNDING, "a", "P", [{"s": "BTCUSD_PERP", "pa": "1", "ps": "BOTH"}])
    [paid] = read(changed(isolated, "a", "B", 0, "a", "BTC"), multiplier="100")
    assert (paid.instrument.inverse, paid.instrument.currency, paid.fill_id[:3]) == (True, "BTC", "cm:")


@pytest.mark.parametrize("status", ["NEW_ADL", "NEW_INSURANCE"])
def test_a_forced_order_is_booked_in_whatever_state_it_is(status: str) -> None:
    order = {**FUTURES["o"], "c": "adl_autoclose", "X": status}
    assert read({**FUTURES, "o": order})[0].kind is FillKind.LIQUIDATION


@pytest.mark.parametrize("cause", ["DEPOSIT", "WITHDRAW", "INSURANCE_CLEAR", "NEVER_HEARD_OF"])
def test_another_change_of_the_balance_is_refused_and_not_dropped(cause: str) -> None:
    assert refused(changed(FUNDING, "a", "m", cause)) == "UNKNOWN_STATUS"
    assert refused({"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1"}) == "UNSUPPORTED"


@pytest.mark.parametrize(
    "event", ["TRADE_LITE", "listenKeyExpired", "outboundAccountPosition", "MARGIN_CALL"]
)
def test_an_event_that_repeats_or_holds_no_fill_gives_none(event: str) -> None:
    assert read({"e": event, "E": 1}) == []
    assert read(changed(FUNDING, "a", "m", "ORDER")) == []


@pytest.mark.parametrize("moment", [10**18, "1699564800000", 1.5, True, None])
def test_a_time_that_is_none_is_refused(moment: Any) -> None:
    assert refused(changed(FUTURES, "o", "T", moment)) == "BAD_MESSAGE"
