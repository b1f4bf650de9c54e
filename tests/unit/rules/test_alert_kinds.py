"""Every kind of alert is a condition or an event; what can stand has somebody who ends it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from stopline.rules.alerting.kinds import ENDED_BY, KINDS, Nature, is_event
from stopline.rules.limits.registry import LIMITS

SOURCES = Path(__file__).parents[3] / "shared/stopline"
OWN = {"test"}  # raised by the command line


def calls() -> list[ast.Call]:
    paths = [p for part in ("service", "rules") for p in (SOURCES / part).rglob("*.py")]
    found = (node for p in paths for node in ast.walk(ast.parse(p.read_text("utf-8"))))
    return [node for node in found if isinstance(node, ast.Call)]


def said(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def kind_of(call: ast.Call) -> str:
    value = said(call, "kind")
    return str(value.value) if isinstance(value, ast.Constant) else ""


def test_every_kind_is_declared_as_a_condition_or_an_event() -> None:
    """R2.12: in one table; limits are conditions."""
    raised = {
        kind
        for p in (q for part in ("service", "rules") for q in (SOURCES / part).rglob("*.py"))
        for kind in re.findall(r'\bkind="([a-z_]+)"', p.read_text("utf-8"))
    }
    assert set(KINDS) == raised | OWN
    assert not [name for name in LIMITS if is_event(name)]


def test_every_condition_is_resolved_by_code() -> None:
    """R2.12: by a builder that says so, by `over` and `alert` of what a sweep sees standing, or by the end of another."""
    ends = set(ENDED_BY)
    for call in calls():
        resolved = said(call, "resolved")
        never = resolved is None or (isinstance(resolved, ast.Constant) and resolved.value is False)
        swept = isinstance(call.func, ast.Name) and call.func.id in ("Condition", "Found")
        ends |= {kind_of(call)} if not never or swept else set()
    conditions = {kind for kind, nature in KINDS.items() if nature is Nature.CONDITION}
    assert conditions <= ends
    assert {kind for enders in ENDED_BY.values() for kind in enders} <= ends  # an end is resolved
