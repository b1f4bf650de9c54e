"""What every store does: the words of ports.Store, one by one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stopline.adapters.checks import MAX_COMMIT_BYTES, MAX_WRITES
from stopline.adapters.memory import MemoryStore
from stopline.model.errors import Rejected, Transient
from stopline.model.ids import document_id
from stopline.ports import (
    SERVER_TIME,
    AlreadyExists,
    Conflict,
    Create,
    Data,
    Delete,
    Document,
    Path,
    Put,
    Store,
    Unavailable,
    Update,
    Where,
    Write,
)

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
HERE = Path("books", "demo")
THERE = Path("fills", "demo-1")


def made(store: Store, path: Path, **data: Any) -> Document:
    """Create a document and return it as it is read."""
    store.commit([Create(path, data or {"n": 1})])
    return read(store, path)


def read(store: Store, path: Path) -> Document:
    """Return a document that must be there."""
    document = store.get(path)
    assert document is not None
    return document


def ids(documents: list[Document]) -> list[str]:
    return [document.path.id for document in documents]


# --- one document ---------------------------------------------------------------------------------


def test_a_document_that_was_never_written_is_none(store: Store) -> None:
    assert store.get(HERE) is None


def test_a_created_document_is_read_as_it_was_written(store: Store) -> None:
    """Hot state in Firestore: R0.3."""
    data: Data = {
        "text": "Größe 1.25 → ok",
        "empty": "",
        "whole": -(2**63),
        "most": 2**63 - 1,
        "yes": True,
        "no": False,
        "nothing": None,
        "at": NOON,
    }
    store.commit([Create(HERE, data)])
    document = read(store, HERE)
    assert document.path == HERE
    assert document.data == data
    assert {name: type(value) for name, value in document.data.items()} == {
        name: type(value) for name, value in data.items()
    }


def test_a_time_is_read_in_utc_to_the_microsecond(store: Store) -> None:
    """A plain datetime, so that JSON encoders take it."""
    zone = timezone(timedelta(hours=5, minutes=30))
    document = made(store, HERE, at=NOON.astimezone(zone))
    assert document.data["at"] == NOON
    assert type(document.data["at"]) is datetime
    assert document.data["at"].utcoffset() is not None


def test_an_enum_of_text_is_stored_as_its_text(store: Store) -> None:
    class Side(StrEnum):
        BUY = "BUY"

    assert made(store, HERE, side=Side.BUY).data == {"side": "BUY"}


def test_a_document_may_have_no_fields(store: Store) -> None:
    store.commit([Create(HERE, {})])
    assert read(store, HERE).data == {}


def test_creating_twice_changes_nothing(store: Store) -> None:
    """What makes a second delivery of a fill harmless: R0.3."""
    before = made(store, HERE, n=1)
    with pytest.raises(AlreadyExists):
        store.commit([Create(HERE, {"n": 2})])
    assert store.get(HERE) == before


def test_replaying_an_applied_batch_is_refused_as_existing(store: Store) -> None:
    """The replay resolves a commit whose outcome was unknown: R0.3."""
    book = made(store, HERE, n=1)
    batch: list[Write] = [Create(THERE, {"fill": "x"}), Update(HERE, {"n": 2}, book.version)]
    store.commit(batch)
    with pytest.raises((AlreadyExists, Conflict)):
        store.commit(batch)
    assert read(store, HERE).data == {"n": 2}


def test_an_update_replaces_the_fields_it_names_and_keeps_the_rest(store: Store) -> None:
    before = made(store, HERE, a="1", b="2")
    store.commit([Update(HERE, {"b": "3", "c": None}, before.version)])
    assert read(store, HERE).data == {"a": "1", "b": "3", "c": None}


def test_an_update_of_an_older_version_is_a_conflict(store: Store) -> None:
    first = made(store, HERE, n=1)
    store.commit([Update(HERE, {"n": 2}, first.version)])
    with pytest.raises(Conflict):
        store.commit([Update(HERE, {"n": 3}, first.version)])
    assert read(store, HERE).data == {"n": 2}


def test_an_update_of_a_document_that_is_not_there_is_a_conflict(store: Store) -> None:
    version = made(store, HERE).version
    with pytest.raises(Conflict):
        store.commit([Update(THERE, {"n": 1}, version)])
    assert store.get(THERE) is None


def test_an_update_of_a_deleted_and_recreated_document_is_a_conflict(store: Store) -> None:
    old = made(store, HERE, n=1).version
    store.commit([Delete(HERE)])
    store.commit([Create(HERE, {"n": 1})])
    with pytest.raises(Conflict):
        store.commit([Update(HERE, {"n": 2}, old)])


def test_a_put_replaces_the_whole_document(store: Store) -> None:
    made(store, HERE, a="1", b="2")
    store.commit([Put(HERE, {"c": "3"})])
    assert read(store, HERE).data == {"c": "3"}


def test_a_put_writes_a_document_that_was_not_there(store: Store) -> None:
    store.commit([Put(HERE, {"c": "3"})])
    assert read(store, HERE).data == {"c": "3"}


def test_a_deleted_document_is_gone_and_can_be_created_again(store: Store) -> None:
    made(store, HERE)
    assert store.commit([Delete(HERE)]) == [None]
    assert store.get(HERE) is None
    made(store, HERE)


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    assert store.commit([Delete(HERE)]) == [None]


def test_a_delete_at_the_version_read_removes_the_document(store: Store) -> None:
    document = made(store, HERE)
    store.commit([Delete(HERE, document.version)])
    assert store.get(HERE) is None


def test_a_delete_of_an_older_version_is_a_conflict(store: Store) -> None:
    first = made(store, HERE, n=1)
    store.commit([Update(HERE, {"n": 2}, first.version)])
    with pytest.raises(Conflict):
        store.commit([Delete(HERE, first.version)])
    assert read(store, HERE).data == {"n": 2}


def test_a_delete_at_a_version_of_what_is_not_there_is_a_conflict(store: Store) -> None:
    version = made(store, HERE).version
    with pytest.raises(Conflict):
        store.commit([Delete(THERE, version)])


def test_what_was_read_stays_as_it_was_read(store: Store) -> None:
    """Callers own what they get: changing it changes no document."""
    document = made(store, HERE, n=1)
    document.data["n"] = 99
    assert read(store, HERE).data == {"n": 1}


def test_what_was_written_stays_as_it_was_written(store: Store) -> None:
    data: Data = {"n": 1}
    store.commit([Create(HERE, data)])
    data["n"] = 99
    assert read(store, HERE).data == {"n": 1}


# --- versions -------------------------------------------------------------------------------------


def test_the_versions_returned_are_those_read(store: Store) -> None:
    """An instance that has the document cached needs no read before its next commit."""
    versions = store.commit([Create(HERE, {"n": 1}), Put(THERE, {"n": 1})])
    assert versions == [read(store, HERE).version, read(store, THERE).version]
    versions = store.commit([Update(HERE, {"n": 2}, versions[0]), Delete(THERE)])
    assert versions == [read(store, HERE).version, None]


def test_a_chain_of_updates_needs_no_read(store: Store) -> None:
    [version] = store.commit([Create(HERE, {"n": 0})])
    for n in range(1, 20):
        [version] = store.commit([Update(HERE, {"n": n}, version)])
    assert read(store, HERE).data == {"n": 19}


def test_two_reads_without_a_write_in_between_have_one_version(store: Store) -> None:
    made(store, HERE)
    assert read(store, HERE) == read(store, HERE)


def test_a_write_gives_a_new_version(store: Store) -> None:
    document = made(store, HERE, n=1)
    seen = {document.version}
    for n in range(2, 12):
        seen.update(store.commit([Put(HERE, {"n": n})]))
    assert len(seen) == 11


@pytest.mark.parametrize("again", [Put(HERE, {"n": 1}), Update(HERE, {"n": 1}, None)])
def test_a_write_that_changes_nothing_keeps_the_version(store: Store, again: Put | Update) -> None:
    """As in production: whoever must be seen to have written writes SERVER_TIME, too."""
    document = made(store, HERE, n=1)
    if isinstance(again, Update):
        again = Update(HERE, {"n": 1}, document.version)
    assert store.commit([again]) == [document.version]
    store.commit([Update(HERE, {"n": 2}, document.version)])


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_writes_all_of_its_documents(store: Store) -> None:
    book = made(store, HERE, n=1)
    gone = made(store, Path("fills", "old"))
    store.commit(
        [
            Create(Path("fills", "a"), {"n": 1}),
            Update(HERE, {"n": 2}, book.version),
            Put(Path("fills", "b"), {"n": 3}),
            Delete(gone.path),
        ]
    )
    found = store.get_all([Path("fills", "a"), HERE, Path("fills", "b"), gone.path])
    assert [document and document.data for document in found] == [{"n": 1}, {"n": 2}, {"n": 3}, None]


@pytest.mark.parametrize("last", ["create", "update", "delete"])
def test_a_batch_with_one_refused_write_writes_nothing(store: Store, last: str) -> None:
    """Idempotency record and state in one commit, or neither: R0.3."""
    book = made(store, HERE, n=1)
    store.commit([Update(HERE, {"n": 2}, book.version)])
    writes: dict[str, Write] = {
        "create": Create(HERE, {"n": 9}),
        "update": Update(HERE, {"n": 9}, book.version),
        "delete": Delete(HERE, book.version),
    }
    with pytest.raises((AlreadyExists, Conflict)):
        store.commit([Create(THERE, {"n": 1}), Put(Path("marks", "0"), {"n": 1}), writes[last]])
    assert store.get_all([THERE, Path("marks", "0")]) == [None, None]
    assert read(store, HERE).data == {"n": 2}


def test_a_batch_takes_500_writes(store: Store) -> None:
    paths = [Path("marks", f"{n:03}") for n in range(MAX_WRITES)]
    assert len(store.commit([Put(path, {"n": 1}) for path in paths])) == MAX_WRITES
    assert all(store.get_all(paths))


@pytest.mark.parametrize("count", [0, MAX_WRITES + 1])
def test_a_batch_of_no_or_too_many_writes_is_refused(store: Store, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 500 writes"):
        store.commit([Put(Path("marks", str(n)), {"n": 1}) for n in range(count)])


def test_a_batch_takes_one_write_per_document(store: Store) -> None:
    with pytest.raises(ValueError, match="one write per document"):
        store.commit([Create(HERE, {"n": 1}), Put(HERE, {"n": 2})])
    assert store.get(HERE) is None


def test_a_commit_of_nearly_3_mib_is_taken(store: Store) -> None:
    text = "x" * (MAX_COMMIT_BYTES // 3 - 300)
    store.commit([Put(Path("marks", str(n)), {"text": text}) for n in range(3)])
    assert len(read(store, Path("marks", "2")).data["text"]) == len(text)


def test_a_commit_above_3_mib_is_refused(store: Store) -> None:
    """Above 4 MiB the emulator answers for a minute with 'exhausted'."""
    text = "x" * (MAX_COMMIT_BYTES // 4)
    with pytest.raises(Transient, match="above 3145728"):
        store.commit([Put(Path("marks", str(n)), {"text": text}) for n in range(4)])
    assert store.get(Path("marks", "0")) is None


def test_many_threads_on_one_document_lose_no_update(store: Store) -> None:
    """Read, change, commit at the version read, again after a conflict: thousands of trades, R8.5."""
    threads, rounds = 16, 5
    made(store, HERE, n=0)
    failures: list[Exception] = []

    def count_up() -> None:
        try:
            for _ in range(rounds):
                while True:
                    document = read(store, HERE)
                    try:
                        store.commit([Update(HERE, {"n": document.data["n"] + 1}, document.version)])
                        break
                    except Conflict:
                        continue
        except Exception as problem:  # noqa: BLE001 - shown by the main thread
            failures.append(problem)

    running = [threading.Thread(target=count_up) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures
    assert read(store, HERE).data == {"n": threads * rounds}


def test_of_many_threads_that_create_one_document_one_succeeds(store: Store) -> None:
    """One fill delivered many times at once is booked once: R0.3."""
    outcomes: list[str] = []

    def create(n: int) -> None:
        while True:
            try:
                store.commit([Create(HERE, {"n": n})])
                outcomes.append("created")
            except AlreadyExists:
                outcomes.append("exists")
            except Conflict:
                continue
            return

    running = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert sorted(outcomes) == ["created"] + ["exists"] * 7


# --- the store's clock ----------------------------------------------------------------------------


def test_server_time_is_one_moment_for_the_whole_batch(store: Store) -> None:
    store.commit([Create(HERE, {"at": SERVER_TIME, "also": SERVER_TIME}), Put(THERE, {"at": SERVER_TIME})])
    here, there = read(store, HERE).data, read(store, THERE).data
    assert here["at"] == here["also"] == there["at"]
    assert here["at"].tzinfo is not None


def test_server_time_never_goes_back(store: Store) -> None:
    """It may stand still: it has milliseconds."""
    [version] = store.commit([Create(HERE, {"at": SERVER_TIME})])
    times = [read(store, HERE).data["at"]]
    for n in range(30):
        [version] = store.commit([Update(HERE, {"at": SERVER_TIME, "n": n}, version)])
        times.append(read(store, HERE).data["at"])
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_server_time_leaves_the_other_fields_alone(store: Store) -> None:
    [version] = store.commit([Create(HERE, {"a": "1", "at": None})])
    store.commit([Update(HERE, {"at": SERVER_TIME}, version)])
    data = read(store, HERE).data
    assert data["a"] == "1"
    assert isinstance(data["at"], datetime)


def test_a_cursor_on_server_time_finds_what_was_written_behind_it(store: Store) -> None:
    """How an instance keeps its books current: by asking for those that changed. R1.7."""
    for n in range(4):
        store.commit([Create(Path("books", str(n)), {"changed_at": SERVER_TIME})])
    cursor = read(store, Path("books", "3")).data["changed_at"]
    for n in range(4, 8):
        store.commit([Create(Path("books", str(n)), {"changed_at": SERVER_TIME})])
    found = ids(store.query("books", [Where("changed_at", ">=", cursor)], ["changed_at"]))
    assert set(found) >= {"3", "4", "5", "6", "7"}
    later = ids(store.query("books", [Where("changed_at", ">", cursor)], ["changed_at"]))
    assert {"6", "7"} <= set(later) <= {"4", "5", "6", "7"}


# --- several documents ----------------------------------------------------------------------------


def test_get_all_answers_in_the_order_of_the_paths(store: Store) -> None:
    for id_ in "abc":
        made(store, Path("books", id_), name=id_)
    wanted = [Path("books", id_) for id_ in ("c", "missing", "a", "c", "b")]
    found = store.get_all(wanted)
    assert [document and document.data["name"] for document in found] == ["c", None, "a", "c", "b"]
    assert [document.path for document in found if document] == [
        path for path in wanted if path.id != "missing"
    ]


def test_get_all_of_nothing_is_nothing(store: Store) -> None:
    assert store.get_all([]) == []


def test_get_all_spans_collections(store: Store) -> None:
    made(store, HERE, n=1)
    made(store, THERE, n=2)
    assert [document and document.data["n"] for document in store.get_all([THERE, HERE])] == [2, 1]


# --- queries --------------------------------------------------------------------------------------


@pytest.fixture
def shelf(store: Store) -> Store:
    """Documents with every kind of value in `v`: none, missing, true, numbers, times, texts."""
    values: dict[str, Any] = {
        "none": None,
        "true": True,
        "one": 1,
        "two": 2,
        "ten": 10,
        "noon": NOON,
        "night": NOON + timedelta(hours=12),
        "text1": "1",
        "textb": "b",
    }
    store.commit([Put(Path("shelf", id_), {"v": value, "w": len(id_)}) for id_, value in values.items()])
    store.commit([Put(Path("shelf", "missing"), {"w": 7}), Put(Path("other", "one"), {"v": 1, "w": 1})])
    return store


def test_a_query_without_conditions_returns_the_collection_by_id(shelf: Store) -> None:
    found = ids(shelf.query("shelf"))
    assert found == sorted(found)
    assert len(found) == 10


def test_a_query_of_a_collection_that_is_not_there_is_empty(store: Store) -> None:
    assert store.query("nothing", [Where("v", "==", 1)]) == []


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("==", 1, {"one"}),
        ("==", "1", {"text1"}),
        ("==", True, {"true"}),
        ("==", NOON, {"noon"}),
        ("==", None, {"none"}),
        ("==", 3, set()),
        (">", 1, {"two", "ten"}),
        (">=", 2, {"two", "ten"}),
        ("<", 10, {"one", "two"}),
        ("<=", 1, {"one"}),
        (">", "1", {"textb"}),
        (">", NOON, {"night"}),
        (">=", NOON, {"noon", "night"}),
        ("<=", NOON, {"noon"}),
        (">=", False, {"true"}),
    ],
)
def test_a_condition_matches_values_of_its_own_type_only(
    shelf: Store, op: Any, value: Any, expected: set[str]
) -> None:
    """A missing field or None matches no inequality; True is not 1, and 1 is not "1"."""
    assert set(ids(shelf.query("shelf", [Where("v", op, value)]))) == expected


def test_a_missing_field_is_not_none(shelf: Store) -> None:
    assert ids(shelf.query("shelf", [Where("v", "==", None)])) == ["none"]


@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
def test_an_inequality_with_none_is_refused(store: Store, op: Any) -> None:
    with pytest.raises(ValueError, match="None"):
        store.query("shelf", [Where("v", op, None)])


def test_a_comparison_with_a_naive_time_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="without a zone"):
        store.query("shelf", [Where("v", ">", NOON.replace(tzinfo=None))])


def test_all_conditions_hold_together(store: Store) -> None:
    """The fills of one instrument since a moment, which a re-fold reads: R1.4."""
    for n, (account, symbol) in enumerate([("a", "SPX"), ("a", "SPX"), ("a", "NDX"), ("b", "SPX")]):
        made(store, Path("fills", str(n)), account=account, symbol=symbol, at=NOON + timedelta(hours=n))
    where = [Where("account", "==", "a"), Where("symbol", "==", "SPX")]
    assert ids(store.query("fills", where, ["at"])) == ["0", "1"]
    assert ids(store.query("fills", [*where, Where("at", ">=", NOON + timedelta(hours=1))], ["at"])) == ["1"]


def test_a_range_is_two_conditions_on_one_field(store: Store) -> None:
    for n in range(6):
        made(store, Path("fills", str(n)), n=n)
    assert ids(store.query("fills", [Where("n", ">=", 2), Where("n", "<", 5)], ["n"])) == ["2", "3", "4"]


def test_order_by_sorts_by_type_then_value_and_leaves_out_what_lacks_the_field(shelf: Store) -> None:
    found = ids(shelf.query("shelf", (), ["v"]))
    assert found == ["none", "true", "one", "two", "ten", "noon", "night", "text1", "textb"]


def test_equal_values_are_ordered_by_the_next_field_then_by_id(store: Store) -> None:
    for id_, a, b in [("z", 1, 1), ("a", 1, 2), ("c", 1, 1), ("b", 0, 9)]:
        made(store, Path("fills", id_), a=a, b=b)
    assert ids(store.query("fills", (), ["a", "b"])) == ["b", "c", "z", "a"]
    assert ids(store.query("fills", (), ["a"])) == ["b", "a", "c", "z"]


def test_a_minus_before_a_field_sorts_by_it_the_other_way_round(store: Store) -> None:
    """With a limit: the last ones; and equal ones by id, the same way round."""
    for id_, n, m in [("a", 1, 1), ("b", 2, 1), ("c", 2, 2), ("d", 3, 1)]:
        made(store, Path("fills", id_), n=n, m=m)
    assert ids(store.query("fills", (), ["-n"])) == ["d", "c", "b", "a"]
    assert ids(store.query("fills", [Where("n", ">=", 2)], ["-n"], limit=2)) == ["d", "c"]
    assert ids(store.query("fills", (), ["-m", "n"])) == ["c", "a", "b", "d"]
    assert ids(store.query("fills", [Where("n", ">", 1)], ["-m"])) == ["c", "d", "b"]


def test_an_inequality_orders_by_its_field_behind_order_by(store: Store) -> None:
    for id_, a, b in [("z", 1, 2), ("y", 2, 2), ("x", 3, 1), ("w", 0, 0)]:
        made(store, Path("fills", id_), a=a, b=b)
    assert ids(store.query("fills", [Where("a", ">", 0)])) == ["z", "y", "x"]
    assert ids(store.query("fills", [Where("a", ">", 0)], ["b"])) == ["x", "z", "y"]


def test_texts_are_ordered_by_code_point(store: Store) -> None:
    for n, text in enumerate(["é", "z", "Z", "10", "9", "𐀀", "\uffee"]):
        made(store, Path("fills", str(n)), text=text)
    found = [document.data["text"] for document in store.query("fills", (), ["text"])]
    assert found == ["10", "9", "Z", "z", "é", "\uffee", "𐀀"]


def test_a_limit_takes_the_first_of_the_order(store: Store) -> None:
    for n in range(5):
        made(store, Path("fills", str(n)), n=-n)
    assert ids(store.query("fills", (), ["n"], limit=2)) == ["4", "3"]
    assert len(store.query("fills", limit=100)) == 5


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        store.query("fills", limit=limit)


def test_a_query_returns_data_and_versions_as_a_read_does(shelf: Store) -> None:
    found = shelf.query("shelf", [Where("v", "==", 1)])
    assert found == [shelf.get(Path("shelf", "one"))]


def test_a_query_sees_the_last_commit(store: Store) -> None:
    book = made(store, HERE, n=1)
    store.commit([Update(HERE, {"n": 2}, book.version)])
    assert store.query("books", [Where("n", "==", 1)]) == []
    assert ids(store.query("books", [Where("n", "==", 2)])) == ["demo"]


# --- ids ------------------------------------------------------------------------------------------

STRANGE = [
    "a/b",
    "a/b/c",
    ".",
    "..",
    "__x__",
    "____",
    "",
    "projects/p/databases/(default)/documents/kill/global",
    "%2F",
    "..%2f",
    "\\",
    "BTC-USD",
    "\u0412TC",  # a Cyrillic letter
    "\u00e9",
    "e\u0301",  # the same to a reader
    "\u200b",
    "\u202e",
    "🚀" * 30,
    "a b",
    "a\x00b",
    "a:b",
    "=41",
]


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_any_text_through_document_id_lands_at_exactly_its_path(store: Store, text: str) -> None:
    path = Path("fills", document_id(text))
    store.commit([Create(path, {"text": "x"})])
    assert read(store, path).path == path
    assert [document.path for document in store.query("fills")] == [path]


def test_strange_ids_do_not_meet(store: Store) -> None:
    paths = [Path("fills", document_id(text)) for text in STRANGE]
    store.commit([Create(path, {"n": n}) for n, path in enumerate(paths)])
    assert [document and document.data["n"] for document in store.get_all(paths)] == list(range(len(STRANGE)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=3))
@example(["a:b"])
@example(["a", "b"])
@example(["", ""])
def test_parts_of_any_text_make_an_id_that_the_store_takes(store: Store, parts: list[str]) -> None:
    path = Path("fills", document_id(*parts))
    store.commit([Put(path, {"parts": repr(parts)})])
    assert read(store, path).data == {"parts": repr(parts)}


BAD = ["", "a/b", "a/b/c", ".", "..", "__x__", "____", "__", "x" * 1501, "🚀" * 376, "\ud800"]


@pytest.mark.parametrize("id_", BAD, ids=ascii)
def test_an_id_that_firestore_refuses_or_nests_is_rejected_everywhere(store: Store, id_: str) -> None:
    """`a/b/c` would write a document below another."""
    path = Path("fills", id_)
    for refused in (
        lambda: store.get(path),
        lambda: store.get_all([HERE, path]),
        lambda: store.commit([Create(path, {"n": 1})]),
        lambda: store.commit([Delete(path)]),
        lambda: store.query(id_),
    ):
        with pytest.raises(Rejected) as caught:
            refused()
        assert caught.value.reason == "BAD_DOCUMENT_ID"
    assert store.query("fills") == []


# --- values and sizes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Decimal("1.5"), TypeError),
        (1.5, TypeError),
        (float("nan"), TypeError),
        ({"a": {"b": 1}}, TypeError),
        (["a"], TypeError),
        (b"x", TypeError),
        (NOON.date(), TypeError),
        (NOON.replace(tzinfo=None), TypeError),
        (1j, TypeError),
        (2**63, ValueError),
        (-(2**63) - 1, ValueError),
        ("\ud800", ValueError),
    ],
    ids=repr,
)
def test_a_value_that_would_change_its_meaning_is_refused(
    store: Store, value: Any, error: type[Exception]
) -> None:
    """Money is text: a Decimal has no exact native form. No maps: one can pose as a vector."""
    with pytest.raises(error):
        store.commit([Create(THERE, {"n": 1}), Create(HERE, {"v": value})])
    assert store.get_all([HERE, THERE]) == [None, None]


@pytest.mark.parametrize("name", ["a.b", "", "`a`", "__name__", "a b", "é", "1a", "x" * 129])
def test_a_field_name_that_is_a_path_or_reserved_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a field"):
        store.commit([Create(HERE, {name: 1})])
    with pytest.raises(ValueError, match="cannot be a field"):
        store.query("books", [Where(name, "==", 1)])
    with pytest.raises(ValueError, match="cannot be a field"):
        store.query("books", (), [name])


def test_an_update_must_name_a_field_and_a_version(store: Store) -> None:
    version = made(store, HERE).version
    with pytest.raises(ValueError, match="must name a field"):
        store.commit([Update(HERE, {}, version)])
    with pytest.raises(TypeError, match="needs the version"):
        store.commit([Update(HERE, {"n": 2}, None)])


def test_a_document_of_nearly_1_mib_is_taken(store: Store) -> None:
    text = "x" * (1024 * 1024 - 200)
    assert made(store, HERE, text=text).data == {"text": text}


def test_a_document_above_1_mib_is_refused(store: Store) -> None:
    with pytest.raises(Transient, match="the most is"):
        store.commit([Create(HERE, {"a": "x" * 600_000, "b": "ä" * 300_000})])
    with pytest.raises(Transient, match="the most is"):
        store.commit([Create(HERE, {"a": "x" * (1024 * 1024 - 88)})])
    assert store.get(HERE) is None


def test_an_update_that_would_grow_a_document_above_1_mib_is_refused(store: Store) -> None:
    version = made(store, HERE, a="x" * 600_000).version
    with pytest.raises(Transient):
        store.commit([Create(THERE, {"n": 1}), Update(HERE, {"b": "x" * 600_000}, version)])
    assert store.get(THERE) is None
    assert read(store, HERE).version == version


def test_memory_answers_always() -> None:
    """The difference `outage`: whatever is put into memory, it never says Unavailable by itself."""
    from .differences import differs

    assert differs("outage", "memory")
    store = MemoryStore()
    try:
        store.commit([Put(HERE, {"n": 1})])
    except Unavailable:  # pragma: no cover
        pytest.fail("memory has no outages")
