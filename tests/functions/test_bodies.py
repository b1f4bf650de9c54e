"""How much of a body is read, through the framework as it serves: no caller may fill the memory of an instance."""

from __future__ import annotations

from collections.abc import Callable
from io import RawIOBase
from typing import Any

import pytest

from stopline.runtime.envelope import MAX_BODY

from .conftest import ENTRY_POINTS, Served

Serve = Callable[[str], Served]
ENDLESS: dict[str, dict[str, Any]] = {
    "chunked": {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    "40 MB": {"CONTENT_LENGTH": str(40 * 1024 * 1024)},
}


class Counted(RawIOBase):
    """A body without end that says how much of it was taken."""

    taken = 0

    def readable(self) -> bool:
        return True

    def seek(self, _offset: int, _whence: int = 0) -> int:  # the test client asks how long it is
        return 0

    def tell(self) -> int:
        return 0

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        assert self.taken < 64 * 1024 * 1024, "an endless body is read on and on"
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


@pytest.mark.parametrize("how", ENDLESS)
@pytest.mark.parametrize("token", ["", "ann-token-0001"])
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_body_without_end_is_refused_unread(serve: Serve, name: str, token: str, how: str) -> None:
    """B10, B11: at every function, known caller or not: 413, 401, and nothing of it in memory."""
    body = Counted()
    path = {"api": "/v1/accounts/demo/check", "kill_switch": "/kill"}.get(name, "/")
    answer = serve(name).client.post(
        path,
        input_stream=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        environ_overrides=ENDLESS[how],
    )
    is_push = name not in ("api", "kill_switch")
    expected = 413 if is_push else (401 if not token else (404 if name == "api" else 413))
    assert answer.status_code == expected
    assert body.taken <= MAX_BODY
