"""What holds for every dialect: the documented messages, the handling table, and whatever else may come."""

from __future__ import annotations

import contextlib
import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.brokers import DIALECTS, MAX_ITEMS, parse, read
from stopline.brokers.cumulative import increments
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind
from stopline.model.wire import canonical, validate

from ..make import raw_fill
from .samples import SAMPLES, Sample, changed, fills_of, refusal

ALL = pytest.mark.parametrize("name", SAMPLES)
WITH_FILLS = pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.fills])


@ALL
def test_a_documented_message_gives_its_fills(name: str) -> None:
    """R8.6."""
    sample = SAMPLES[name]
    items = sample.read()
    assert [item.refused for item in items if item.refused] == []
    assert len(items) == sample.fills
    assert {item.fill.broker for item in items if item.fill} <= {sample.broker}


@ALL
def test_it_reads_the_same_from_bytes(name: str) -> None:
    sample = SAMPLES[name]
    items = read(sample.text.encode(), {"broker": sample.broker, **sample.attributes})
    assert [item.fill for item in items] == [item.fill for item in sample.read()]


@WITH_FILLS
def test_a_message_that_comes_again_has_the_same_keys_and_content(name: str) -> None:
    """3.8 duplicate: acknowledged without effect by key and hash."""
    first, again = ([item.fill for item in SAMPLES[name].read()] for _ in range(2))
    assert [f and (f.key, f.hash) for f in first] == [f and (f.key, f.hash) for f in again]


@WITH_FILLS
def test_a_normalised_fill_can_be_published_as_it_is(name: str) -> None:
    for item in SAMPLES[name].read():
        assert item.fill is not None
        wire = json.loads(canonical(item.fill.model_dump(mode="json", exclude_none=True)))
        again = parse(wire, {"broker": item.fill.broker})[0].fill
        assert again is not None
        assert (again.key, again.hash) == (item.fill.key, item.fill.hash)
        assert canonical(item.raw)


@ALL
@pytest.mark.parametrize(
    "status", ["NO_SUCH_STATUS", "filled?", "", None, 77, True, [], {}, "FILL ", "trade"]
)
def test_an_unknown_status_is_refused_and_never_guessed(name: str, status: Any) -> None:
    sample = SAMPLES[name]
    message = changed(sample.message, *sample.path, status)
    assert refusal(message, broker=sample.broker, **sample.attributes)


@WITH_FILLS
def test_a_message_without_an_account_is_refused(name: str) -> None:
    """Never guessed: from the message, or from the attribute."""
    sample = SAMPLES[name]
    names = ("account_id", "acctNumber", "accountId", "account-number", "user_id", "1")
    message = _without(sample.message, set(names))
    attributes = {k: v for k, v in sample.attributes.items() if k != "account"}
    assert refusal(message, broker=sample.broker, **attributes) in ("MISSING_ATTRIBUTE", "BAD_MESSAGE")
    if any(name in sample.text for name in names[1:4]):
        return  # the broker always says it: a message without it is broken
    assert fills_of(message, broker=sample.broker, **{**attributes, "account": "other"})[0].account == "other"


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value


def test_the_broker_s_account_must_be_the_one_that_is_expected() -> None:
    sample = SAMPLES["ibkr execution"]
    [item] = sample.read(account="demo", broker_account="U123456")
    assert item.fill is not None
    assert item.fill.account == "demo"
    [item] = sample.read(account="demo", broker_account="U999")
    assert item.refused is not None
    assert item.refused.reason == "CONTRADICTION"


def test_strategy_and_broker_come_from_the_attributes() -> None:
    [fill] = fills_of(
        SAMPLES["binance spot"].message, dialect="binance", broker="binance-us", account="a", strategy="grid"
    )
    assert (fill.broker, fill.strategy, fill.account) == ("binance-us", "grid", "a")


@pytest.mark.parametrize("broker", [*DIALECTS, "paper"])
def test_our_own_format_is_understood_from_any_broker(broker: str) -> None:
    raw = raw_fill(broker=broker)
    assert fills_of(raw, broker=broker)[0].broker == broker


def test_the_attribute_dialect_goes_before_the_broker() -> None:
    assert refusal(raw_fill(broker="ibkr"), broker="ibkr", dialect="kite") == "UNKNOWN_MESSAGE"


def test_a_told_instrument_is_for_one_contract_only() -> None:
    sample = SAMPLES["alpaca multi-leg"]
    told = json.dumps({"symbol": "SPY", "kind": "equity", "currency": "USD"})
    items = sample.read(instrument=told)
    assert [item.refused and item.refused.reason for item in items] == [None, "CONTRADICTION"]


@pytest.mark.parametrize(
    "told", ["", "{}", "x", "[]", '{"symbol":"spy","kind":"equity","currency":"USD"}', "é"]
)
def test_a_told_instrument_that_is_none_is_refused(told: str) -> None:
    sample = SAMPLES["fix"]
    assert refusal(sample.message, broker="fix", instrument=told) in ("BAD_ATTRIBUTE", "MISSING_ATTRIBUTE")


def test_a_message_of_too_many_fills_is_refused_whole() -> None:
    sample = SAMPLES["upstox trades"]
    many = changed(sample.message, "data", sample.message["data"] * (MAX_ITEMS + 1))
    with pytest.raises(Rejected, match="TOO_MANY_FILLS"):
        sample.read(many)
    assert len(sample.read(changed(sample.message, "data", sample.message["data"] * MAX_ITEMS))) == MAX_ITEMS


# --- beside the uniform handling table, which has a file of its own ---


def test_a_cancelled_order_that_was_filled_in_part_is_a_fill() -> None:
    sample = SAMPLES["tastytrade order"]
    for status in ("Live", "Cancelled", "Expired"):
        assert len(sample.read(changed(sample.message, "data", "status", status))) == 1
    kite = changed(SAMPLES["kite postback"].message, "status", "CANCELLED")
    assert refusal(changed(kite, "filled_quantity", 1), broker="kite") == "CUMULATIVE"


@pytest.mark.parametrize("name", ["alpaca trade update", "fix"])
@pytest.mark.parametrize("bust", [True, False])
def test_a_bust_or_correction_of_nothing_is_refused(name: str, bust: bool) -> None:
    sample = SAMPLES[name]
    if name == "fix":
        message = {k: v for k, v in sample.message.items() if k != "19"} | {"150": "H" if bust else "G"}
    else:
        message = changed(sample.message, "data", "event", "trade_bust" if bust else "trade_correct")
    assert refusal(message, broker=sample.broker, **sample.attributes) == "BAD_MESSAGE"


def test_a_late_fee_names_its_fill() -> None:
    [fee] = [item.fill for item in SAMPLES["tastytrade transaction"].read()]
    [trade] = [item.fill for item in SAMPLES["tastytrade order"].read()]
    assert fee is not None
    assert trade is not None
    assert (fee.kind, fee.ref, fee.fee, fee.provisional) == (
        FillKind.FEE,
        trade.fill_id,
        Decimal("40.442"),
        True,
    )


@pytest.mark.parametrize("attributes", [{}, {"account": "demo"}])
def test_case_9_an_order_message_three_times_is_one_set_of_fills(attributes: dict[str, str]) -> None:
    sample = SAMPLES["tastytrade order"]
    keys = [item.fill.key for _ in range(3) for item in sample.read(**attributes) if item.fill]
    assert len(keys) == 3
    assert len(set(keys)) == 1


# --- case 8: cumulative brokers ---

D = Decimal


def test_case_8_the_second_fill_is_what_the_first_does_not_explain() -> None:
    first = increments(D(40), D("10.00"), [])
    assert first == (D(40), D("10.00"))
    assert increments(D(100), D("10.30"), [first]) == (D(60), D("10.50"))


def test_case_8_a_partial_that_comes_after_the_complete_one_is_ignored() -> None:
    assert increments(D(40), D(10), [(D(100), D("10.30"))]) is None
    assert increments(D(100), D("10.30"), [(D(100), D("10.30"))]) is None


@pytest.mark.parametrize(("cum", "avg", "applied"), [(D(1), D(0), []), (D(10), D(1), [(D(9), D(2))])])
def test_a_state_that_cannot_be_is_refused(
    cum: Decimal, avg: Decimal, applied: list[tuple[Decimal, Decimal]]
) -> None:
    with pytest.raises(Rejected, match="CUMULATIVE"):
        increments(cum, avg, applied)


@given(
    st.lists(
        st.tuples(st.integers(1, 1000).map(D), st.integers(1, 10**6).map(lambda n: D(n) / 100)),
        min_size=1,
        max_size=6,
    )
)
def test_increments_of_exact_averages_give_back_the_fills(fills: list[tuple[Decimal, Decimal]]) -> None:
    applied: list[tuple[Decimal, Decimal]] = []
    for n in range(1, len(fills) + 1):
        cum = sum((q for q, _ in fills[:n]), D(0))
        money = sum((q * p for q, p in fills[:n]), D(0))
        step = increments(cum, money / cum, applied)
        assert step is not None
        assert step[0] == fills[n - 1][0]
        assert abs(step[1] - fills[n - 1][1]) < D("1e-6")
        applied.append(step)


# --- whatever may come ---

HOSTILE = st.sampled_from(
    [
        None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.1, 1e308, -1e-300, "", " ", "0", "-0", "1E5", "NaN", "Infinity",
        "9" * 18, "9" * 40, "0." + "9" * 30, "../..", "é", "\u202e", "x" * 300, "20261332", "2026-13-45T99:99:99Z",
        "00000000-00:00:00", "9999-12-31 23:59:59", "0001-01-01T00:00:00+23:59", "BUY", "SELL", "OPT", "FUT", "BAG",
        "US/Nowhere", "20261120 15:02:11 ../etc/passwd", "SPY   991399C00000000", "360ONE24APR1CE", "A" * 32, [], {},
        [[]], [{}], {"e": "executionReport"}, [None, 1, "x"],
    ]
).map(copy.deepcopy)  # fmt: skip


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in ((*way, key), *_places(item, (*way, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Sample, dict[str, Any]]:
    """Draw a documented message with up to four places changed, removed, or taken from another message."""
    sample = SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))]
    message = sample.message
    for _ in range(draw(st.integers(1, 4))):
        places = _places(message)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder: Any = message
        for step in way:
            holder = holder[step]
        action = draw(st.integers(0, 3))
        if action == 0:
            del holder[last]
        elif action == 1:
            other = SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))].message
            holder[last] = copy.deepcopy(draw(st.sampled_from([other, *other.values()])))
        elif action == 2 and isinstance(holder, dict):
            holder[draw(st.sampled_from(["trades", "legs", "e", "event", "20", "442", "status", "x"]))] = (
                draw(HOSTILE)
            )
        else:
            holder[last] = draw(HOSTILE)
    return sample, message


ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["account", "multiplier", "currency", "zone", "quote", "expiry", "kind", "underlying", "instrument"]
    ),
    st.sampled_from(
        ["", "demo", "100", "USD", "UTC", "-1", "é\ud800", "x" * 999, "2021-06-30", "crypto", "future", "{}"]
    ),
    max_size=2,
)


@settings(max_examples=600, deadline=None)
@given(mutated(), ATTRIBUTES, st.sampled_from([None, *DIALECTS]))
def test_whatever_comes_it_is_a_fill_or_rejected(
    drawn: tuple[Sample, dict[str, Any]], attributes: dict[str, str], dialect: str | None
) -> None:
    sample, message = drawn
    given_ = {"broker": sample.broker, **sample.attributes, **attributes}
    if dialect is not None:
        given_["dialect"] = dialect
    try:
        items = parse(message, given_, {"kite": "s"} if len(message) % 2 else None)
    except Rejected:
        items = []
    for item in items:
        assert (item.fill is None) != (item.refused is None)
        if item.fill is not None:
            stored = json.loads(canonical(item.fill.model_dump(mode="json")))
            assert validate(Fill, stored).hash == item.fill.hash


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["fix", "ibkr", "kite"]),
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="8=FIX.4|\x0135<>?!/TradesFlexQuryResp\"' &;[]", max_size=120).map(str.encode),
        st.tuples(st.integers(0, 160), st.binary(max_size=3)).map(
            lambda cut: (
                b"8=FIX.4.4|35=8|1=A|37=O|17=E|150=F|55=SPY|167=CS|15=USD|54=1|32=4|31=1|60=20261120-15:09:00|10=000|"[
                    : cut[0]
                ]
                + cut[1]
            )
        ),
    ),
)
def test_whatever_bytes_come_they_are_read_or_rejected(dialect: str, data: bytes) -> None:
    with contextlib.suppress(Rejected):
        read(data, {"dialect": dialect, "account": "demo"})
