"""Every query has its index: neither memory nor the emulator misses one, production refuses the query."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from datetime import UTC, datetime

from emulators.topology import ROOT, load
from stopline.adapters.checks import sort_fields
from stopline.adapters.memory import MemoryStore
from stopline.ports import Document, Where
from stopline.service.fills.books import FillLog


class Recording(MemoryStore):
    """Notes the composite index that each query needs: the fields of equalities, then those of the order."""

    def __init__(self) -> None:
        super().__init__()
        self.needed: set[tuple[str, tuple[str, ...]]] = set()

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        equal = sorted({condition.field for condition in where if condition.op == "=="})
        fields = (*equal, *sort_fields(where, order_by))
        if (
            len(fields) > len(equal) and len(fields) > 1
        ):  # equalities alone are answered by merging single fields
            self.needed.add((collection, fields))
        return super().query(collection, where, order_by, limit)


def test_the_topology_has_the_indexes_of_the_fill_logs_queries() -> None:
    """A late fill re-folds its position from the fill log, a late bust a trade of several: R8.6."""
    store = Recording()
    log = FillLog(store)
    log.of("demo", "credit", "SPX")
    log.of("demo", "credit", "SPX", datetime(2026, 11, 20, tzinfo=UTC))
    log.around("demo", "credit", datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    there = {
        (index.collection, tuple(sorted(index.fields[:-1])), index.fields[-1]) for index in load().indexes
    }
    assert len(store.needed) == 2
    assert {(collection, fields[:-1], fields[-1]) for collection, fields in store.needed} <= there


def test_every_other_query_of_the_services_is_on_one_field() -> None:
    """Such a query needs no index of ours, nor does one that only compares for equality. A new one on more belongs into
    the test above.
    """
    known = {"books.py": 2}  # the fill log
    asks_bigquery = {"executions.py", "factors.py", "report.py", "restate_executions.py", "trade_log.py"}
    for path in sorted((ROOT / "shared" / "stopline" / "service").rglob("*.py")):
        if path.name in asks_bigquery:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
        several = [node for node in lists if _is_on_several(list(filter(_is_where, node.elts)))]
        appended = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _appends_where(node)]
        assert len(several) == known.get(path.name, 0), f"{path.name} has a query on several fields"
        assert len(appended) <= known.get(path.name, 0), f"{path.name} adds a condition to a query"


def _is_on_several(wheres: list[ast.expr]) -> bool:
    """Tell whether conditions are on several fields, and not all of them equal something: those Firestore joins itself."""
    compared = {ast.unparse(where.args[1]) for where in wheres if isinstance(where, ast.Call)}
    return len(set(map(_field, wheres))) > 1 and compared != {"'=='"}


def _is_where(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Where"


def _field(where: ast.expr) -> str:
    """Return the field of a condition: two on one are a range, which needs no index of ours either."""
    assert isinstance(where, ast.Call)
    return ast.unparse(where.args[0])


def _appends_where(node: ast.Call) -> bool:
    is_append = isinstance(node.func, ast.Attribute) and node.func.attr == "append"
    return is_append and any(_is_where(argument) for argument in node.args)
