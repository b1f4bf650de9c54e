"""F19: every publish is awaited: no product code holds a future of a message that nobody waits for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = "shared/stopline/adapters/pubsub.py"
FILES = sorted(path for folder in ("shared", "functions") for path in (ROOT / folder).rglob("*.py"))


def _faults(tree: ast.AST, adapter: bool) -> Iterator[str]:
    """Yield what could leave a message in memory: the batching client, an async one, a client outside the adapter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("google.cloud.pubsub"):
                yield f"{name} batches: its publish returns a future"
            elif name.endswith("PublisherAsyncClient"):
                yield f"{name} does not wait"
            elif name.startswith("google.pubsub") and "ublisher" in name and not adapter:
                yield f"{name} outside the adapter"


def test_no_product_code_publishes_but_through_the_adapter_that_waits() -> None:
    assert len(FILES) > 100
    found = {
        str(path.relative_to(ROOT)): faults
        for path in FILES
        if (faults := list(_faults(ast.parse(path.read_text(encoding="utf-8")), path == ROOT / ADAPTER)))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "from google.cloud import pubsub_v1",
        "from google.cloud.pubsub_v1 import PublisherClient",
        "import google.cloud.pubsub_v1 as bus",
        "from google.pubsub_v1 import PublisherAsyncClient",
    ],
)
def test_a_client_that_does_not_wait_is_seen_in_the_adapter_too(line: str) -> None:
    assert list(_faults(ast.parse(line), adapter=True))


def test_the_client_that_waits_is_the_adapters_alone() -> None:
    tree = ast.parse("from google.pubsub_v1 import PublisherClient")
    assert list(_faults(tree, adapter=False))
    assert not list(_faults(tree, adapter=True))
