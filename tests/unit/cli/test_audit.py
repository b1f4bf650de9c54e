"""`stopline audit verify`: a whole trail passes, and every kind of tampering is named (I8)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stopline.cli.main import main
from stopline.model.control import ControlRequest
from stopline.model.ids import document_id
from stopline.ports import Delete, Put
from stopline.ports import Path as StorePath
from stopline.runtime.embedded import Embedded

from ..make import NOON, account


@pytest.fixture
def desk() -> Embedded:
    made = Embedded(NOON)
    made.app.account_writer.create(account(), "ann")
    for number, action in enumerate(["pause", "kill", "kill"]):
        facts = {
            "request_id": f"r-{number}",
            "scope": "account:demo",
            "action": action,
            "actor": "ann",
            "reason": "test",
        }
        made.app.trading.set(ControlRequest.model_validate(facts))
    made.run()
    return made


def run(desk: Embedded, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["audit", "verify", "--json", *arguments], obj=lambda: desk.app)
    return result.exit_code, json.loads(result.output)


def exported(desk: Embedded, path: Path, style: str = "plain") -> list[dict[str, Any]]:
    """The rows as BigQuery has them, written as its exports write them."""
    rows = [{k: v for k, v in row.items() if k != "ingested_at"} for row in desk.history.rows["audit"]]
    if style == "bq":
        for row in rows:
            row["decided_at"] = row["decided_at"].replace("T", " ").replace("Z", "")
            row |= {name: str(row[name]) for name in ("seq", "epoch") if row.get(name) is not None}
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return rows


def kept(desk: Embedded, seq: int) -> StorePath:
    return StorePath("audit", document_id("account:demo", f"{seq:012d}"))


def test_a_whole_trail_passes(desk: Embedded) -> None:
    """The account's making, and what was done to its trading state."""
    assert run(desk) == (0, {"rows": 4, "faults": []})


@pytest.mark.parametrize("style", ["plain", "bq"])
def test_a_whole_export_passes(desk: Embedded, tmp_path: Path, style: str) -> None:
    """Rows without a chain, such as those of quarantine, are passed over."""
    path = tmp_path / "audit.json"
    assert len(exported(desk, path, style)) == 4
    assert run(desk, "--export", str(path)) == (0, {"rows": 4, "faults": []})
    assert run(desk, "--export", str(path), "--offline")[0] == 0


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_row_that_was_removed_from_the_store_is_found(desk: Embedded, seq: int) -> None:
    desk.store.commit([Delete(kept(desk, seq))])
    code, facts = run(desk)
    assert code == 1
    assert facts["faults"]


def test_a_row_that_was_altered_in_the_store_is_found(desk: Embedded) -> None:
    """F57."""
    document = desk.store.get(kept(desk, 2))
    assert document is not None
    row = document.data["row"].replace('"actor":"ann"', '"actor":"bob"')
    desk.store.commit([Put(document.path, {**document.data, "row": row})])
    assert run(desk)[1]["faults"] == ["account:demo: row 2 was altered"]


@pytest.mark.parametrize(
    "damage", [lambda row: row[:-40], lambda row: "", lambda row: "[]", lambda row: "{}"]
)
def test_a_row_that_was_cut_off_in_the_store_is_named(desk: Embedded, damage: Callable[[str], str]) -> None:
    """F57: and the others are checked all the same."""
    document = desk.store.get(kept(desk, 2))
    assert document is not None
    desk.store.commit([Put(document.path, {**document.data, "row": damage(document.data["row"])})])
    code, facts = run(desk)
    assert code == 1
    assert facts["faults"] == ["account:demo: row 2 was altered", "account:demo: row 2 is missing"]


def test_an_export_that_lacks_or_changes_a_row_is_found(desk: Embedded, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    rows = [row for row in exported(desk, path) if row.get("chain")]
    path.write_text(json.dumps(rows[:-1]))
    assert run(desk, "--export", str(path))[1]["faults"] == ["account:demo: row 3 is not in the export"]
    rows[2]["reason"] = "nothing"
    path.write_text(json.dumps(rows))
    assert run(desk, "--export", str(path), "--offline")[1]["faults"] == ["account:demo: row 2 was altered"]


def cut_off(desk: Embedded, rows: int) -> None:
    """Take the last rows of the account's chain out of the store, and set back the end that its control knows of."""
    control = desk.store.get(StorePath("controls", document_id("account:demo")))
    last = desk.store.get(kept(desk, 3 - rows)) if rows < 3 else None
    assert control is not None
    state = json.loads(control.data["state"])
    state |= {"chain_seq": 3 - rows, "chain_hash": json.loads(last.data["row"])["hash"] if last else ""}
    desk.store.commit([Delete(kept(desk, seq)) for seq in range(4 - rows, 4)])
    desk.store.commit([Put(control.path, {**control.data, "state": json.dumps(state)})])


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_store_whose_end_was_cut_off_is_found_by_the_export(
    desk: Embedded, tmp_path: Path, rows: int
) -> None:
    """F57: who can write the store can set back its ends too; what BigQuery has, they cannot take back."""
    path = tmp_path / "audit.json"
    exported(desk, path)
    cut_off(desk, rows)
    assert run(desk)[0] == 0, "alone it is a shorter chain that is whole"
    code, facts = run(desk, "--export", str(path))
    assert code == 1
    single = [f"account:demo: row {seq} is in the export, and not in the store" for seq in range(4 - rows, 4)]
    whole = ["account:demo: the whole chain is in the export, and not in the store"]
    assert facts["faults"] == (whole if rows == 3 else single)


def test_rows_whose_end_nobody_knows_are_found_in_the_store_alone(desk: Embedded) -> None:
    """F57: the control document was removed with the last rows; what is left is a chain that is whole."""
    control = desk.store.get(StorePath("controls", document_id("account:demo")))
    assert control is not None
    desk.store.commit([Delete(control.path), *(Delete(kept(desk, seq)) for seq in (2, 3))])
    code, facts = run(desk)
    assert (code, facts["faults"]) == (1, ["account:demo: the document that knows its last row is missing"])


def test_a_journal_that_was_removed_as_a_whole_is_found_by_the_export(desk: Embedded, tmp_path: Path) -> None:
    """F57: with its document, so that the store knows nothing of it."""
    path = tmp_path / "audit.json"
    exported(desk, path)
    rows = [d for d in desk.store.query("audit") if d.data["chain"] == "journal:demo"]
    assert rows
    desk.store.commit([Delete(d.path) for d in [*rows, *desk.store.query("journals")]])
    assert run(desk)[0] == 0
    code, facts = run(desk, "--export", str(path))
    assert (code, facts["faults"]) == (
        1,
        ["journal:demo: the whole chain is in the export, and not in the store"],
    )


def test_with_an_export_the_store_is_checked_too(desk: Embedded, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    exported(desk, path)
    document = desk.store.get(kept(desk, 2))
    assert document is not None
    row = document.data["row"].replace('"actor":"ann"', '"actor":"bob"')  # its hash as it was
    desk.store.commit([Put(document.path, {**document.data, "row": row})])
    assert run(desk, "--export", str(path))[1]["faults"] == ["in the store: account:demo: row 2 was altered"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{oops", "line 1"),
        ("[1]", "line 1"),
        ('{"chain": "global"}', "line 1"),
        ("", "nothing to check"),
        ('{"legs": []}', "nothing to check"),
        ("\ufeff".encode("utf-16").decode("latin-1"), "line 1"),
    ],
)
def test_what_is_no_export_is_said(desk: Embedded, tmp_path: Path, text: str, word: str) -> None:
    """A file without a single link of a chain must not pass as whole."""
    path = tmp_path / "audit.json"
    path.write_text(text)
    result = CliRunner().invoke(main, ["audit", "verify", "--export", str(path)], obj=lambda: desk.app)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert word in result.output
