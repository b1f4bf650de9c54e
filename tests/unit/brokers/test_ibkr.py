"""Interactive Brokers: revisions, combinations, commissions that come later, and Flex statements."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from stopline.brokers import read as read_bytes
from stopline.brokers.dialect import Item
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

from ..ledger.test_amend import booked
from .samples import SAMPLES, changed, fills_of, refusal

EXECUTION = SAMPLES["ibkr execution"].message
ASSIGNMENT = SAMPLES["ibkr flex assignment"].message
STK = {"secType": "STK", "symbol": "BRK B", "currency": "USD", "multiplier": ""}
FUT = {
    "secType": "FUT", "symbol": "ES", "currency": "USD", "multiplier": "50", "localSymbol": "ESZ6",
    "lastTradeDateOrContractMonth": "20261218",
}  # fmt: skip


def read(message: dict[str, Any], **more: str) -> list[Fill]:
    return fills_of(message, broker="ibkr", **more)


def refused(message: dict[str, Any], **more: str) -> str:
    return refusal(message, broker="ibkr", **more)


def test_an_execution_with_its_commission_is_one_fill() -> None:
    [fill] = read(EXECUTION)
    assert (fill.fill_id, fill.account, fill.side) == ("0000e0d5.6580d36a.01", "u123456", "SELL")
    assert (fill.quantity, fill.price, fill.fee) == (5, Decimal("1.25"), Decimal("3.25"))
    assert (fill.instrument.symbol, fill.instrument.underlying) == ("SPXW261120P06000000", "SPX")


def test_case_10_two_revisions_are_one_execution_and_its_correction() -> None:
    first = changed(EXECUTION, "commissionReport", None)
    second = changed(first, "execution", "execId", "0000e0d5.6580d36a.01.02")
    [one], [two] = read(first), read(second)
    assert (one.kind, two.kind, two.ref) == (FillKind.TRADE, FillKind.CORRECT, one.fill_id)


@pytest.mark.parametrize(
    "unset", [1.7976931348623157e308, "1.7976931348623157E308", "1.7976931348623157e+308", None, ""]
)
def test_a_commission_that_is_not_known_yet_is_no_fee(unset: Any) -> None:
    [fill] = read(changed(EXECUTION, "commissionReport", "commission", unset))
    assert fill.fee == 0
    assert refused(
        changed({**EXECUTION, "event": "commissionReport"}, "commissionReport", "commission", unset)
    )


def test_a_commission_that_comes_later_is_a_fee_of_its_fill() -> None:
    """The same content whether the execution carried its report or not."""
    early = read(changed({**EXECUTION, "event": "execDetails"}, "commissionReport", None))
    again = read({**EXECUTION, "event": "execDetails"})
    [fee] = read({**EXECUTION, "event": "commissionReport"})
    assert early[0].hash == again[0].hash
    assert (fee.kind, fee.ref, fee.fee, fee.fee_currency) == (
        FillKind.FEE,
        early[0].fill_id,
        Decimal("3.25"),
        "USD",
    )


def test_a_report_that_has_not_come_is_no_fee() -> None:
    """ib_async puts an empty one beside each execution until it comes; money of no execution is refused."""
    empty = {"execId": "", "commission": 0.0, "currency": "", "realizedPNL": 0.0, "yield_": 0.0}
    message = {**EXECUTION, "commissionReport": empty}
    assert read(message) == read(changed(EXECUTION, "commissionReport", None))
    assert refused({**message, "event": "commissionReport"})
    assert refused({**message, "commissionReport": {**empty, "commission": 1.5}})


def test_a_report_of_another_execution_is_refused() -> None:
    assert refused(changed(EXECUTION, "commissionReport", "execId", "other.01")) == "CONTRADICTION"


def test_of_a_combination_the_legs_count() -> None:
    assert read(changed(EXECUTION, "contract", "secType", "BAG")) == []


def test_without_the_contract_it_is_refused_or_told() -> None:
    bare = changed(EXECUTION, "contract", None)
    assert refused(bare) == "MISSING_ATTRIBUTE"
    told = json.dumps({"symbol": "SPY", "kind": "equity", "currency": "USD"})
    assert read(bare, instrument=told)[0].instrument.symbol == "SPY"


@pytest.mark.parametrize(
    ("contract", "symbol", "multiplier"),
    [
        (STK, "BRK.B", "1"),
        (FUT, "ESZ6", "50"),
        ({"secType": "CRYPTO", "symbol": "BTC", "currency": "USD"}, "BTC-USD", "1"),
        ({**EXECUTION["contract"], "secType": "FOP", "tradingClass": "EW3", "symbol": "ES", "multiplier": "50"},
         "EW3261120P06000000", "50"),
    ],
)  # fmt: skip
def test_the_contract_is_read_from_its_own_words(
    contract: dict[str, Any], symbol: str, multiplier: str
) -> None:
    [fill] = read(changed(EXECUTION, "contract", contract))
    assert (fill.instrument.symbol, fill.instrument.multiplier) == (symbol, Decimal(multiplier))


@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        ({**STK, "secType": "CASH"}, "UNSUPPORTED"),
        ({**FUT, "multiplier": ""}, "MISSING_ATTRIBUTE"),
        ({**FUT, "localSymbol": ""}, "BAD_MESSAGE"),
        ({**STK, "currency": ""}, "MISSING_ATTRIBUTE"),
        ({**EXECUTION["contract"], "right": "X"}, "UNKNOWN_RIGHT"),
        ({**EXECUTION["contract"], "strike": 0.0}, "BAD_MESSAGE"),
    ],
)
def test_a_contract_that_does_not_say_what_it_is_is_refused(contract: dict[str, Any], reason: str) -> None:
    assert refused(changed(EXECUTION, "contract", contract)) == reason


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("20261120 15:02:11 US/Eastern", "", "2026-11-20T20:02:11+00:00"),
        ("20261120  15:02:11", "America/New_York", "2026-11-20T20:02:11+00:00"),
        ("20261120-15:02:11", "America/New_York", "2026-11-20T15:02:11+00:00"),  # this form is UTC
        ("2026-11-20 15:02:11+00:00", "", None),
        ("20261120 15:02:11", "", None),
        ("20261120 15:02:11", "Mars/Base", None),
    ],
)
def test_a_time_without_a_zone_needs_one(text: str, zone: str, moment: str | None) -> None:
    message = changed(EXECUTION, "execution", "time", text)
    if moment is None:
        assert refused(message, zone=zone)
    else:
        assert read(message, zone=zone)[0].executed_at.isoformat() == moment


def test_a_liquidation_and_a_price_under_revision_are_told() -> None:
    assert read(changed(EXECUTION, "execution", "liquidation", 1))[0].kind is FillKind.LIQUIDATION
    assert read(changed(EXECUTION, "execution", "pendingPriceRevision", True))[0].provisional


# --- Flex ---

CZR = (
    '<Trade accountId="DU1234567" currency="USD" assetCategory="OPT" symbol="CZR   260821C00030000" '
    'underlyingSymbol="CZR" multiplier="100" strike="30" expiry="20260821" putCall="C" levelOfDetail="EXECUTION" '
)
ORIGINAL = CZR + (
    'tradeID="17" dateTime="20260717;120440" transactionType="ExchTrade" quantity="2" tradePrice="0.73" '
    'ibCommission="-1.3666" ibCommissionCurrency="USD" notes="P" buySell="BUY" ibOrderID="7" '
    'transactionID="18" ibExecID="0001938c.6a59af42.01.01" origTradeID="" />'
)
CANCEL = CZR + (
    'tradeID="" dateTime="20260717;120440" transactionType="TradeCancel" quantity="-2" tradePrice="0.73" '
    'ibCommission="0" notes="Ca" buySell="BUY (Ca.)" ibOrderID="7" transactionID="19" ibExecID="" origTradeID="17" />'
)
AGAIN = (
    ORIGINAL.replace("01.01", "01.02")
    .replace('quantity="2"', 'quantity="1"')
    .replace("-1.3666", "0.3333")
    .replace('="18"', '="20"')
)


def statement(*rows: str, head: str = "", extra: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{head}<FlexQueryResponse queryName="q" type="AF"><FlexStatements count="1">'
        f'<FlexStatement accountId="DU1234567"><Trades>{"".join(rows)}</Trades>{extra}</FlexStatement>'
        "</FlexStatements></FlexQueryResponse>"
    ).encode()


def flex(data: bytes) -> list[Fill]:
    items = read_bytes(data, {"broker": "ibkr", "account": "demo"})
    assert not [item.refused for item in items if item.refused]
    return [item.fill for item in items if item.fill]


def test_a_statement_gives_its_executions_in_dollars_paid() -> None:
    [fill] = flex(statement(ORIGINAL))
    assert (fill.fill_id, fill.fee, fill.quantity) == ("0001938c.6a59af42.01", Decimal("1.3666"), 2)
    assert fill.executed_at.isoformat() == "2026-07-17T16:04:40+00:00"


def test_only_the_execution_level_counts() -> None:
    order = ORIGINAL.replace('levelOfDetail="EXECUTION"', 'levelOfDetail="ORDER"')
    assert (
        len(
            flex(
                statement(
                    order, ORIGINAL, '<Order levelOfDetail="ORDER" /><Lot levelOfDetail="CLOSED_LOT" />'
                )
            )
        )
        == 1
    )
    with pytest.raises(AssertionError, match="levelOfDetail"):
        flex(statement(ORIGINAL.replace("levelOfDetail", "level")))


def test_a_trade_that_is_cancelled_and_booked_again_is_what_its_last_row_says() -> None:
    """What IBKR really sends: the second booking has the trade id of the first and the next revision. Each row says the same
    alone: other statements may cut them apart.
    """
    together = flex(statement(ORIGINAL, CANCEL, AGAIN))
    first, bust, second, fee = together
    alone = [one.hash for some in (ORIGINAL, CANCEL, AGAIN) for one in flex(statement(some))]
    assert alone == [one.hash for one in together]
    assert (bust.kind, bust.ref, bust.fill_id) == (FillKind.BUST, "trade:17", "transaction:19")
    assert (second.kind, second.ref, second.quantity) == (FillKind.CORRECT, first.fill_id, 1)
    assert (fee.kind, fee.ref, fee.fee, second.fee) == (FillKind.FEE, first.fill_id, Decimal("-0.3333"), 0)
    for some in permutations(together):
        assert booked([[one] for one in some]).net_quantity(first.instrument.symbol) == 1


@pytest.mark.parametrize(
    ("back", "again", "paid"),
    [("0", "0.3333", "1.0333"), ("1.3666", "-1.0333", "1.0333"), ("0", "0", "1.3666")],
)
def test_what_the_rows_of_a_corrected_trade_charge_adds_up(back: str, again: str, paid: str) -> None:
    """Issue 4.2: two contracts cost 1.3666, the one that is left 1.0333; also where the original came a day before."""
    cancel = CANCEL.replace('ibCommission="0"', f'ibCommission="{back}" ibCommissionCurrency="USD"')
    booked_again = AGAIN.replace("0.3333", again)
    for statements in ([(ORIGINAL, cancel, booked_again)], [(ORIGINAL,), (cancel, booked_again)]):
        fills = [fill for rows in statements for fill in flex(statement(*rows))]
        book = booked([[one] for one in fills])
        assert book.total("USD").fees == Decimal(paid)
        assert book.net_quantity(fills[0].instrument.symbol) == 1


def test_a_corrected_execution_costs_what_its_last_report_says_in_any_order() -> None:
    """Issue 4.2, domain 3.2: each revision comes as details and as a report, or as both together."""

    def told(revision: str, shares: int, fee: float, event: str) -> dict[str, Any]:
        exec_id = f"0000e0d5.6580d36a.01.{revision}"
        message = changed(changed(EXECUTION, "execution", "execId", exec_id), "execution", "shares", shares)
        if event == "execDetails":
            return {**message, "event": event, "commissionReport": None}
        report = {**EXECUTION["commissionReport"], "execId": exec_id, "commission": fee}
        return {**message, "event": event, "commissionReport": report}

    for first in (("both",), ("execDetails", "commissionReport")):
        for second in (("both",), ("execDetails", "commissionReport")):
            fills = [read(told("01", 5, 3.25, event))[0] for event in first]
            fills += [read(told("02", 4, 2.60, event))[0] for event in second]
            for some in permutations(fills):
                book = booked([[one] for one in some])
                assert (book.total("USD").fees, book.net_quantity(fills[0].instrument.symbol)) == (
                    Decimal("2.6"),
                    -4,
                )
                assert [trade.fees for trade in book.trades()] == [Decimal("2.6")]


def test_a_trade_that_is_cancelled_for_good_is_busted_and_what_its_rows_charge_is_paid() -> None:
    first, bust = flex(statement(ORIGINAL, CANCEL))
    assert (bust.kind, bust.ref) == (FillKind.BUST, "trade:17")
    back = CANCEL.replace('ibCommission="0"', 'ibCommission="1.3666" ibCommissionCurrency="USD"')
    for rows, paid in (((ORIGINAL, CANCEL), "1.3666"), ((ORIGINAL, back), "0")):
        for some in permutations(flex(statement(*rows))):
            book = booked([[one] for one in some])
            assert (book.net_quantity(first.instrument.symbol), book.total("USD").fees) == (0, Decimal(paid))
            assert not book.held


def row(transaction: int, **more: str) -> str:
    told = {
        "accountId": "DU1234567", "currency": "AUD", "assetCategory": "STK", "symbol": "XYZ", "tradePrice": "0.32",
        "levelOfDetail": "EXECUTION", "dateTime": "20260717;120440", "transactionType": "ExchTrade", "buySell": "BUY",
        "quantity": "5000", "ibCommission": "-6", "ibCommissionCurrency": "AUD", "tradeID": "2001", "notes": "",
        "ibExecID": "00012345.6789abcd.01.01", "transactionID": str(transaction), **more,
    }  # fmt: skip
    return f"<Trade {' '.join(f'{k}={chr(34)}{v}{chr(34)}' for k, v in told.items())} />"


def taken_back(transaction: int, **more: str) -> str:
    """As public statements have it: no ids of its own, the trade and the transaction that booked it."""
    gone = {"tradeID": "", "ibExecID": "", "origTradeID": "2001", "ibCommission": "0", **more}
    return row(
        transaction, transactionType="TradeCancel", buySell="BUY (Ca.)", quantity="-5000", notes="Ca", **gone
    )


def test_a_trade_that_is_booked_again_and_cancelled_again_counts_as_it_was_told_last() -> None:
    rows = [
        row(1001),
        taken_back(1002, ibCommission="6"),
        row(1003, quantity="4000", ibCommission="-5"),
        taken_back(1004, ibCommission="5"),
        row(1005, quantity="3000", ibCommission="-4"),
    ]
    for some in (rows, rows[::-1]):
        book = booked([[fill] for fill in flex(statement(*some))])
        assert (book.net_quantity("XYZ"), book.total("AUD").fees) == (3000, 4)
    for some in (rows[:4], rows[3::-1]):
        assert booked([[fill] for fill in flex(statement(*some))]).net_quantity("XYZ") == 0


def test_without_transaction_ids_a_trade_is_booked_again_by_its_place_and_said_to_lack_them() -> None:
    """A query that leaves them out, or one id for all: what was booked stands, and what replaces it is told."""
    revised = row(0, ibExecID="00012345.6789abcd.01.02", quantity="4000")
    for id_ in ("", "5"):
        rows = [
            one.replace('transactionID="0"', f'transactionID="{id_}"')
            for one in (row(0), taken_back(0), revised)
        ]
        for some in (rows, rows[::-1]):
            assert booked([[fill] for fill in flex(statement(*some))]).net_quantity("XYZ") == 4000
    same = [one.replace('transactionID="0"', "") for one in (row(0), taken_back(0, tradeID="2002"), row(0))]
    items = read_bytes(statement(*same), {"broker": "ibkr", "account": "demo"})
    assert [item.refused.detail for item in items if item.refused] == [
        "message.trades[2].transactionID is missing"
    ]
    assert [item.fill.kind for item in items if item.fill] == [FillKind.TRADE]


def test_a_cancellation_may_name_the_transaction_of_its_trade_alone() -> None:
    only = taken_back(1002, origTradeID="", origTransactionID="1001")
    first, bust = flex(statement(row(1001), only))
    assert (bust.kind, bust.ref) == (FillKind.BUST, "transaction:1001")
    for some in ((first, bust), (bust, first)):
        assert booked([[one] for one in some]).net_quantity("XYZ") == 0
    assert (
        booked([[fill] for fill in flex(statement(row(1001), only, row(1003)))]).net_quantity("XYZ") == 5000
    )
    with pytest.raises(AssertionError, match="origTradeID is missing"):
        flex(statement(taken_back(1002, origTradeID="", origTransactionID="0")))


def test_a_cancellation_finds_what_was_booked_without_its_trade_id_where_its_statement_has_it() -> None:
    """By an older version, or from TWS."""
    first, bust, *again = flex(statement(ORIGINAL, CANCEL, AGAIN))
    facts = first.model_dump(mode="json").items()
    older = Fill.model_validate({name: value for name, value in facts if not name.startswith("flex_")})
    assert booked([[older], [bust]]).net_quantity(first.instrument.symbol) == 0
    assert booked([[older], [bust], again]).net_quantity(first.instrument.symbol) == 1


def test_a_person_takes_back_what_a_row_said() -> None:
    """A bust of the cancellation's puts the trade back; one of the trade takes it out, with what all its rows charge."""
    first, bust, second, fee = flex(statement(ORIGINAL, CANCEL, AGAIN))
    facts = first.model_dump(mode="json", exclude={"flex_trade", "flex_transaction"}) | {"kind": "BUST"}
    symbol = first.instrument.symbol
    back = Fill.model_validate({**facts, "fill_id": "by-hand", "ref": bust.fill_id})
    assert booked([[first], [bust], [back]]).net_quantity(symbol) == 2
    out = Fill.model_validate({**facts, "fill_id": "by-hand", "ref": first.fill_id})
    book = booked([[first, bust], [second, fee], [out]])
    assert (book.net_quantity(symbol), book.total("USD").fees) == (0, 0)


def test_a_correction_that_names_nothing_is_refused_where_its_statement_has_nothing_of_its_trade() -> None:
    correction = row(1003, transactionType="TradeCorrect", quantity="4000")
    with pytest.raises(AssertionError, match="origTradeID is missing"):
        flex(statement(correction))
    for rows in ((row(1001), correction), (row(1001), taken_back(1002), correction)):
        assert booked([[one] for one in flex(statement(*rows))]).net_quantity("XYZ") == 4000


def test_options_abroad_are_named_by_what_they_are_on() -> None:
    """Eurex's begin with C or P: calls of one strike and day on two shares were one contract."""
    terms = {
        "assetCategory": "OPT",
        "multiplier": "100",
        "strike": "300",
        "expiry": "20261120",
        "putCall": "C",
    }
    rows = [
        row(
            n,
            **terms,
            symbol=f"C {name} NOV 26 300 A",
            underlyingSymbol=name,
            ibExecID=f"0.{n}.01.01",
            tradeID=str(n),
        )
        for n, name in enumerate(("ALV", "BMW", "MC"), 1)
    ]
    roots = [fill.instrument.symbol for fill in flex(statement(*rows))]
    assert roots == [f"{name}261120C00300000" for name in ("ALV", "BMW", "MC")]
    future = row(9, **{**terms, "assetCategory": "FOP"}, symbol="E3CZ6 C300", underlyingSymbol="ESZ6")
    assert flex(statement(future))[0].instrument.symbol == "E3CZ6261120C00300000"


def test_a_sold_quantity_is_negative_and_must_agree() -> None:
    sold = ORIGINAL.replace('buySell="BUY"', 'buySell="SELL"')
    [fill] = flex(statement(sold.replace('quantity="2"', 'quantity="-2"')))
    assert (fill.side, fill.quantity) == ("SELL", 2)
    with pytest.raises(AssertionError, match="CONTRADICTION"):
        flex(statement(sold))


@pytest.mark.parametrize(
    ("notes", "kind"),
    [("A", FillKind.ASSIGN), ("Ex", FillKind.EXERCISE), ("Ep", FillKind.EXPIRE), ("C;Ep", FillKind.EXPIRE)],
)
def test_the_notes_say_what_a_booked_trade_is(notes: str, kind: FillKind) -> None:
    [fill] = read({**ASSIGNMENT, "notes": notes}, currency="USD")
    assert (fill.kind, fill.side, fill.quantity, fill.price) == (kind, "BUY", 3, 0)


def test_a_booked_trade_without_a_note_and_a_margin_liquidation() -> None:
    assert refused({**ASSIGNMENT, "notes": "P"}, currency="USD") == "UNKNOWN_STATUS"
    [fill] = read({**ASSIGNMENT, "transactionType": "ExchTrade", "notes": "L;P"}, currency="USD")
    assert fill.kind is FillKind.LIQUIDATION


def test_taxes_are_paid_too() -> None:
    row = {**ASSIGNMENT, "ibCommission": "-1.5", "taxes": "-0.25", "currency": "USD"}
    assert read(row)[0].fee == Decimal("1.75")
    assert refused({**row, "currency": "GBP"}) == "UNSUPPORTED"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (statement(head=BOMB), "BAD_XML"),
        (statement(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "BAD_XML"),
        (b"<FlexQueryResponse><Trades>", "BAD_XML"),
        (b"<html></html>", "UNKNOWN_MESSAGE"),
        (b'<?xml version="1.0" encoding="x-none"?><FlexQueryResponse/>', "BAD_XML"),
        (b"<FlexQueryResponse><OptionEAE/></FlexQueryResponse>", "UNSUPPORTED"),
        (b"<FlexQueryResponse><TradeConfirm/></FlexQueryResponse>", "UNSUPPORTED"),
    ],
    ids=["bomb", "file", "cut", "html", "encoding", "no trades", "confirms"],
)
def test_xml_that_is_no_statement_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as refusal_:
        read_bytes(data, {"broker": "ibkr"})
    assert refusal_.value.reason == reason


def corporate_action(**more: str) -> str:
    told = {
        "accountId": "DU1234567", "currency": "USD", "assetCategory": "STK", "symbol": "NVDA", "type": "FS",
        "actionDescription": "NVDA(US67066G1040) SPLIT 4 FOR 1 (NVDA, NVIDIA CORP, US67066G1040)", "quantity": "6",
        "dateTime": "20210719;202500", "actionID": "501", "transactionID": "17102223584", "code": "", **more,
    }  # fmt: skip
    return f"<CorporateAction {' '.join(f'{k}={chr(34)}{v}{chr(34)}' for k, v in told.items())} />"


def actions(*rows: str, **attributes: str) -> list[Item]:
    data = statement(extra=f"<CorporateActions>{''.join(rows)}</CorporateActions>")
    return read_bytes(data, {"broker": "ibkr", "account": "demo", **attributes})


@pytest.mark.parametrize(
    ("more", "new", "old"),
    [
        ({}, "4", "1"),
        ({"type": "RS", "actionDescription": "", "description": "NVDA(US67066G1040) Split 1 for 10 (NVDA, N)"}, "1", "10"),
        ({"actionDescription": "NVDA(US67066G1040) SPLIT 1.5 FOR 1"}, "1.5", "1"),
    ],
)  # fmt: skip
def test_a_split_whose_ratio_a_statement_says_is_read(more: dict[str, str], new: str, old: str) -> None:
    """Issue 4.1 and 4.6: after the close before the ex-date, as IBKR books it."""
    [item] = actions(corporate_action(**more))
    assert item.fill is not None, item.refused
    assert (item.fill.kind, item.fill.quantity, item.fill.price) == (
        FillKind.SPLIT,
        Decimal(new),
        Decimal(old),
    )
    assert item.fill.executed_at.isoformat() == "2021-07-20T00:25:00+00:00"
    assert (item.fill.fill_id, item.fill.instrument.symbol) == ("split:501", "NVDA")


@pytest.mark.parametrize(
    "rows",
    [
        [corporate_action(type="TO")],
        [corporate_action(assetCategory="OPT")],
        [corporate_action(actionID="", transactionID="")],
        [corporate_action(code="Ca")],
        [corporate_action(actionDescription="NVDA(US67066G1040) SPLIT")],
        [corporate_action(type="RS", symbol="NVDB", actionDescription="NVDA(US67066G1040) SPLIT 1 FOR 10 (NVDB, N, US2)")],
        [
            corporate_action(type="RS", symbol="NVDA.OLD", quantity="-100"),
            corporate_action(type="RS", quantity="10", transactionID="2",
                             actionDescription="NVDA(US67066G1040) SPLIT 4 FOR 1 (NVDA, NEW, US1)"),
        ],
    ],
    ids=["tender", "option", "no id", "cancelled", "no ratio", "of another symbol", "into another contract"],
)  # fmt: skip
def test_a_corporate_action_that_is_no_plain_split_is_by_hand(rows: list[str]) -> None:
    items = actions(*rows)
    assert [item.refused and item.refused.reason for item in items] == ["UNSUPPORTED"] * len(rows)


def test_corporate_actions_of_a_statement_are_refused_and_say_what_to_do() -> None:
    """Issue 4.6: the trades beside them are booked."""
    action = (
        '<CorporateActions><CorporateAction accountId="DU1234567" assetCategory="STK" symbol="NVDA" type="FS" '
        'actionDescription="NVDA(US67066G1040) SPLIT 10 FOR 1" quantity="90" /></CorporateActions>'
    )
    items = read_bytes(statement(ORIGINAL, extra=action), {"broker": "ibkr", "account": "demo"})
    assert [item.fill is not None for item in items] == [True, False]
    assert items[1].refused is not None
    assert items[1].refused.reason == "UNSUPPORTED"
    assert "FS of NVDA" in items[1].refused.detail
    assert "kind SPLIT" in items[1].refused.detail
    assert items[1].raw["symbol"] == "NVDA"


def test_an_empty_statement_has_no_fills_and_option_events_are_not_booked_twice() -> None:
    assert flex(statement()) == []
    assert len(flex(statement(ORIGINAL, extra='<OptionEAE transactionType="Assignment" />'))) == 1
