"""FIX: trades, corrections and cancels by ExecID, commissions by their unit, legs and totals, text and JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from stopline.brokers import read as read_bytes
from stopline.ledger.leg_name import marked_id
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

from .samples import SAMPLES, SPX_LEG, fills_of, refusal

REPORT = SAMPLES["fix"].message
SHARE = {k: v for k, v in REPORT.items() if k not in ("442", "12", "13", "136", "137")} | {
    "55": "SPY", "167": "CS", "15": "USD", "31": "600.25",
}  # fmt: skip
OPTION = {**SHARE, "55": "SPX", "167": "OPT", "231": "100", "541": "20261120", "202": "6000", "201": "0"}


def read(message: dict[str, Any], **more: str) -> list[Fill]:
    return fills_of(message, broker="fix", **more)


def refused(message: dict[str, Any], **more: str) -> str:
    return refusal(message, broker="fix", **more)


def test_the_documented_report_is_a_leg_with_its_costs() -> None:
    [fill] = read(REPORT, instrument=SPX_LEG)
    assert (fill.side, fill.quantity, fill.price, fill.fee) == ("SELL", 4, Decimal("1.25"), Decimal("3.00"))
    assert (fill.account, fill.order_id, fill.group_id) == ("acc1", "ORD9", "ORD9")
    assert fill.fill_id == "SPX:20261120:EX123"


@pytest.mark.parametrize("report", ["F", "G", "H", "0"])
def test_an_order_status_that_is_unknown_is_refused(report: str) -> None:
    """Domain 3.8: never guessed, whatever the report itself says."""
    assert refused({**SHARE, "150": report, "39": "Q"}) == "UNKNOWN_STATUS"
    tags = {name: value for name, value in SHARE.items() if name != "39"}
    assert len(read({**tags, "150": "F"})) == 1


def test_the_client_order_id_of_a_close_command_names_the_trade_that_it_closes() -> None:
    """R4.5: any other one says nothing."""
    command = marked_id("order:O-1", "a command")
    assert [read({**SHARE, "11": id_})[0].group_id for id_ in (command, "CL7")] == [command, None]
    [leg] = read({**REPORT, "11": command}, instrument=SPX_LEG)
    assert (leg.order_id, leg.group_id) == ("ORD9", command)


def test_case_11_the_total_of_a_combination_is_skipped() -> None:
    assert read({**REPORT, "442": "3"}, instrument=SPX_LEG) == []
    assert refused({**REPORT, "442": "4"}, instrument=SPX_LEG) == "UNKNOWN_STATUS"


def test_case_11_a_cancel_of_a_trade_names_what_may_not_be_known() -> None:
    [bust] = read({**SHARE, "150": "H", "17": "EX124", "32": "0"})
    assert (bust.kind, bust.ref, bust.quantity) == (FillKind.BUST, "SPY:20261120:EX122", 0)


def test_a_cancel_on_the_next_day_names_the_trade_s_date() -> None:
    late = {**SHARE, "150": "H", "17": "EX200", "60": "20261121-09:00:00", "75": "20261120"}
    assert read(late)[0].ref == "SPY:20261120:EX122"
    assert "ref_day" not in (read(late)[0].model_extra or {})
    [untold] = read({k: v for k, v in late.items() if k != "75"})
    assert (untold.ref, untold.model_extra) == (
        "SPY:20261121:EX122",
        {"order_filled": "4", "ref_day": "assumed"},
    )


def test_a_report_that_is_sent_again_is_the_same_fill() -> None:
    [one], [again] = read(SHARE), read({**SHARE, "43": "Y", "97": "Y", "122": "20261120-15:02:12"})
    assert (one.key, one.hash) == (again.key, again.hash)


@pytest.mark.parametrize("state", [*"03458CI", "A", "6", "9", "D", "E"])
def test_a_state_of_the_order_is_no_fill_even_when_it_says_filled(state: str) -> None:
    assert read({**SHARE, "150": state, "39": "2"}) == []


@pytest.mark.parametrize("state", ["1", "2", "J", "Z", "f"])
def test_an_unknown_exec_type_is_refused(state: str) -> None:
    assert refused({**SHARE, "150": state}) == "UNKNOWN_STATUS"


@pytest.mark.parametrize(
    ("trans", "state", "kind"),
    [
        ("0", "1", "TRADE"),
        ("0", "2", "TRADE"),
        ("1", "2", "BUST"),
        ("2", "1", "CORRECT"),
        ("0", "0", None),
        ("3", "2", None),
    ],
)
def test_fix_4_2_says_it_by_the_kind_of_transaction(trans: str, state: str, kind: str | None) -> None:
    fills = read({**SHARE, "20": trans, "150": state})
    assert [f.kind.value for f in fills] == ([kind] if kind else [])
    assert refused({**SHARE, "20": "9", "150": state}) == "UNKNOWN_STATUS"


@pytest.mark.parametrize(("code", "side"), [("1", "BUY"), ("2", "SELL"), ("5", "SELL"), ("6", "SELL")])
def test_the_side(code: str, side: str) -> None:
    assert read({**SHARE, "54": code})[0].side == side
    assert refused({**SHARE, "54": "7"}) == "UNKNOWN_SIDE"


@pytest.mark.parametrize(
    ("commission", "unit", "fees", "expected"),
    [
        ("0.65", "1", None, "2.6"),
        ("0.5", "2", None, "12.005"),  # of 4 x 600.25
        ("2.60", "3", "0.40", "3"),
        ("2.60", "3", ["0.40", "0.10"], "3.1"),
        ("0", None, "0.40", "0.4"),
        (None, None, None, "0"),
    ],
)
def test_a_commission_is_read_by_its_unit(
    commission: str | None, unit: str | None, fees: Any, expected: str
) -> None:
    message = {**SHARE, "12": commission, "13": unit, "137": fees, "479": "USD"}
    assert read({k: v for k, v in message.items() if v is not None})[0].fee == Decimal(expected)


@pytest.mark.parametrize("unit", [None, "4", "0"])
def test_a_commission_without_a_known_unit_is_refused(unit: str | None) -> None:
    message = {k: v for k, v in {**SHARE, "12": "1", "13": unit}.items() if v is not None}
    assert refused(message) in ("UNKNOWN_COMMISSION", "BAD_MESSAGE")


def test_a_percentage_of_an_option_is_of_its_money() -> None:
    assert read({**OPTION, "31": "2", "12": "1", "13": "2"})[0].fee == 8  # 1 % of 4 x 2 x 100


def test_an_option_is_read_from_its_tags() -> None:
    contract = read({**OPTION, "31": "2"})[0].instrument
    assert (contract.symbol, contract.right, contract.multiplier) == ("SPX261120P06000000", "P", 100)
    by_month = {k: v for k, v in OPTION.items() if k != "541"} | {"200": "202611", "205": "20", "31": "2"}
    assert read(by_month)[0].instrument == contract


@pytest.mark.parametrize(
    ("change", "attributes", "reason"),
    [
        ({"167": ""}, {}, "MISSING_ATTRIBUTE"),
        ({"167": "FXSPOT"}, {}, "UNSUPPORTED"),
        ({"15": ""}, {}, "MISSING_ATTRIBUTE"),
        ({"167": "FUT"}, {}, "MISSING_ATTRIBUTE"),
        ({"167": ""}, {"kind": "bond"}, "BAD_ATTRIBUTE"),
        ({"60": "2026-11-20T15:02:11Z"}, {}, "BAD_MESSAGE"),
        ({"60": "20261120-15:02:60"}, {}, "BAD_MESSAGE"),
        ({"32": "0"}, {}, "BAD_MESSAGE"),
        ({"17": ""}, {}, "BAD_MESSAGE"),
    ],
)
def test_what_is_missing_is_refused(change: dict[str, str], attributes: dict[str, str], reason: str) -> None:
    assert refused({**SHARE, **change}, **attributes) == reason


def test_what_the_tags_do_not_say_comes_from_attributes() -> None:
    bare = {k: v for k, v in SHARE.items() if k not in ("167", "15")}
    assert read(bare, kind="equity", currency="EUR")[0].instrument.currency == "EUR"
    assert read({**bare, "55": "BTC/USD"}, kind="crypto")[0].instrument.symbol == "BTC-USD"
    future = {**bare, "55": "ESZ6"}
    told = {"kind": "future", "currency": "USD", "multiplier": "50", "underlying": "ES"}
    assert read(future, **told)[0].instrument.multiplier == 50


# --- text ---

FIELDS = [("8", "FIX.4.4"), ("9", "100"), *SHARE.items()]


def text(joint: str, *more: tuple[str, str], total: str | None = None) -> bytes:
    body = "".join(f"{tag}={value}{joint}" for tag, value in (*FIELDS, *more))
    computed = f"{sum(body.replace(joint, chr(1)).encode()) % 256:03d}"
    return f"{body}10={computed if total is None else total}{joint}".encode()


@pytest.mark.parametrize("joint", ["\x01", "|"])
def test_text_and_json_give_the_same_fill(joint: str) -> None:
    [item] = read_bytes(text(joint), {"broker": "fix"})
    [same] = read_bytes(json.dumps(SHARE).encode(), {"broker": "fix"})
    assert item.fill is not None
    assert item.fill == same.fill


def test_the_amounts_of_the_fee_group_add_up() -> None:
    more = [("136", "2"), ("137", "0.40"), ("138", "USD"), ("137", "0.10"), ("138", "USD")]
    [item] = read_bytes(text("|", *more), {"broker": "fix"})
    assert item.fill is not None
    assert item.fill.fee == Decimal("0.5")


def test_a_fee_keeps_its_currency_and_two_of_them_are_no_sum() -> None:
    """Five pounds beside a commission in dollars are not five dollars more."""
    pounds = [("136", "1"), ("137", "5.00"), ("138", "GBP")]
    [item] = read_bytes(text("|", *pounds), {"broker": "fix"})
    assert item.fill is not None
    assert (item.fill.fee, item.fill.fee_currency) == (Decimal(5), "GBP")
    [item] = read_bytes(text("|", ("12", "1"), ("13", "3"), ("479", "USD"), *pounds), {"broker": "fix"})
    assert item.refused is not None
    assert item.refused.reason == "MIXED_FEES"


@pytest.mark.parametrize(
    ("currencies", "fee"),
    [
        (("USD", "EUR"), None),
        (("EUR", "USD"), None),
        (("EUR", ""), None),  # one without is in the contract's, dollars
        (("EUR", "EUR"), (Decimal("0.5"), "EUR")),
        (("USD", ""), (Decimal("0.5"), "USD")),
        (("", ""), (Decimal("0.5"), "USD")),
    ],
)
def test_each_amount_of_the_fee_group_is_in_its_own_currency(
    currencies: tuple[str, str], fee: tuple[Decimal, str] | None
) -> None:
    """In text the currency stands as often as the amounts: the second is not that of the first."""
    more = [("136", "2")]
    for amount, currency in zip(("0.40", "0.10"), currencies, strict=True):
        more += [("137", amount), *([("138", currency)] if currency else [])]
    [item] = read_bytes(text("|", *more), {"broker": "fix"})
    if fee is None:
        assert item.refused is not None
        assert item.refused.reason == "MIXED_FEES"
    else:
        assert item.fill is not None
        assert (item.fill.fee, item.fill.fee_currency) == fee


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (text("|", total="000"), "BAD_CHECKSUM"),
        (text("|", ("32", "5")), "DUPLICATE_KEY"),
        (text("|")[:-40] + b"|no tag|", "BAD_FIX"),
        (b"35=8|150=F|", "BAD_FIX"),
        (b"8=FIX.4.4|35=8|58=\x07|", "BAD_TEXT"),
        (b"8=FIX.4.4|35=AE|", "UNKNOWN_MESSAGE"),
        (b"8=FIX.4.4|35=8|58=\xff|", "NOT_UTF8"),
        (b"", "BAD_FIX"),
    ],
)
def test_text_that_is_no_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as problem:
        read_bytes(data, {"broker": "fix"})
    assert problem.value.reason == reason


@pytest.mark.parametrize("kind", ["0", "A", "9", "5"])
def test_a_message_of_the_session_is_no_fill(kind: str) -> None:
    assert read_bytes(f"8=FIX.4.4|35={kind}|".encode(), {"broker": "fix"}) == []
