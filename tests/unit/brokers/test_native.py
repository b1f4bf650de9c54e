"""Stopline's own fill format: every element becomes a fill or a refusal, none is lost, none is guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.brokers import MAX_ITEMS, parse
from stopline.model.errors import Rejected

from ..make import raw_fill


def batch(fills: Any, **more: Any) -> dict[str, Any]:
    return {"type": "stopline.fills.v1", "fills": fills, **more}


def test_one_fill_is_one_item() -> None:
    """R0.4."""
    [item] = parse(raw_fill(), {})
    assert item.fill is not None
    assert (item.fill.fill_id, item.refused) == ("E-1", None)


def test_a_bad_fill_among_good_ones_is_refused_alone() -> None:
    """B56."""
    items = parse(batch([raw_fill("E-1"), raw_fill("E-2", quantity="0"), "text", None, raw_fill("E-3")]), {})
    assert [item.fill.fill_id if item.fill else None for item in items] == ["E-1", None, None, None, "E-3"]
    assert [item.refused.reason if item.refused else None for item in items] == [
        None,
        "BAD_MESSAGE",
        "BAD_MESSAGE",
        "BAD_MESSAGE",
        None,
    ]
    assert all(isinstance(item.raw, dict) for item in items)


@pytest.mark.parametrize(
    "kind", [None, "", "stopline.fill.v2", "stopline.fill.v999", 1, ["stopline.fill.v1"], "1"]
)
def test_a_message_of_an_unknown_type_or_version_is_refused_whole(kind: Any) -> None:
    """B59, F47."""
    with pytest.raises(Rejected) as refused:
        parse({**raw_fill(), "type": kind}, {})
    assert refused.value.reason == "UNKNOWN_TYPE"


def test_a_message_without_a_type_is_refused_whole() -> None:
    """B59."""
    raw = raw_fill()
    del raw["type"]
    with pytest.raises(Rejected, match="UNKNOWN_TYPE"):
        parse(raw, {})


@pytest.mark.parametrize("fills", [[], None, {}, "x", 1])
def test_a_list_of_no_fills_is_refused_whole(fills: Any) -> None:
    with pytest.raises(Rejected, match="at least one fill"):
        parse(batch(fills), {})


def test_as_many_fills_are_taken_as_of_any_broker() -> None:
    """F58: the recorder books them 200 a commit."""
    one = raw_fill()
    assert len(parse(batch([one] * MAX_ITEMS), {})) == MAX_ITEMS
    with pytest.raises(Rejected, match="TOO_MANY_FILLS"):
        parse(batch([one] * (MAX_ITEMS + 1)), {})


def test_a_list_with_anything_beside_its_fills_is_refused() -> None:
    """B65."""
    with pytest.raises(Rejected):
        parse(batch([raw_fill()], account="other"), {})


@pytest.mark.parametrize(
    "attributes", [{"account": "other"}, {"broker": "ibkr"}, {"account": ""}, {"account": "Demo"}]
)
def test_an_attribute_that_contradicts_the_body_is_a_refusal(attributes: dict[str, str]) -> None:
    """B60: whoever may publish for one account must not book into another by its body."""
    [item] = parse(raw_fill(), attributes)
    assert item.fill is None
    assert item.refused is not None
    assert item.refused.reason == "CONTRADICTION"


def test_attributes_that_agree_and_those_that_mean_nothing_are_fine() -> None:
    """B60."""
    [item] = parse(raw_fill(), {"account": "demo", "broker": "paper", "googclient_schemaencoding": "JSON"})
    assert item.fill is not None


@pytest.mark.parametrize("name", ["", "Native", "kite2", "x" * 500])
def test_an_unknown_dialect_is_refused_with_those_there_are(name: str) -> None:
    """B48."""
    with pytest.raises(Rejected, match="native") as refused:
        parse(raw_fill(), {"dialect": name})
    assert refused.value.reason == "UNKNOWN_DIALECT"
    assert len(refused.value.detail) < 200


elements = st.sampled_from([raw_fill("E-1"), raw_fill("E-2", side="buy"), {}, [], None, 1, "x", True])


@given(st.lists(elements, min_size=1, max_size=10))
def test_every_element_is_accounted_for_in_its_place(fills: list[Any]) -> None:
    """I3: conservation."""
    items = parse(batch(fills), {})
    assert len(items) == len(fills)
    for item, element in zip(items, fills, strict=True):
        assert (item.fill is None) != (item.refused is None)
        assert item.raw == element or item.raw == {"value": element}
