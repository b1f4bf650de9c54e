"""How much of a body is read, through the framework as it serves: no caller may fill the memory of an instance."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import Any

import pytest

from stopline.runtime.envelope import MAX_BODY

from .conftest import ENTRY_POINTS, Serve, open_accounts

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


HALF = 25_000_000  # of the bomb; what a function loads at its first request takes up to 10
BOMB = gzip.compress(b'{"request_id": "' + b"x" * 50_000_000, compresslevel=9)


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """How much memory was taken at most, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", ""])
@pytest.mark.parametrize(("name", "path"), [("api", "/v1/accounts/demo/check"), ("kill_switch", "/kill")])
def test_a_compressed_body_is_refused_and_never_unpacked(
    serve: Serve, name: str, path: str, encoding: str, allocated: Callable[[], int]
) -> None:
    """B11: 50 MB in 50 KB; one that does not say that it is compressed is no JSON."""
    served = serve(name)
    open_accounts(served, "demo")
    for body in (BOMB[:15_000], gzip.compress(b"{}")):  # with 15 KB below the cap of every route
        answer = served.client.post(
            path,
            data=body,
            content_type="application/json",
            headers={"Authorization": "Bearer ann-token-0001", "Content-Encoding": encoding},
        )
        assert answer.status_code == (415 if encoding else 400), answer.data
    assert allocated() < HALF


@pytest.mark.parametrize("name", [name for name in ENTRY_POINTS if name not in ("api", "kill_switch")])
def test_compressed_data_of_a_message_is_quarantined_as_it_came(
    serve: Serve, name: str, allocated: Callable[[], int]
) -> None:
    """B11, I11: Pub/Sub carries any bytes; nothing here unpacks them, and nothing tries again."""
    served = serve(name)
    assert served.push(BOMB).status_code == 204
    [kept] = served.quarantined()
    assert kept["bytes"] == len(BOMB)
    assert allocated() < HALF


@pytest.mark.parametrize("name", [name for name in ENTRY_POINTS if name not in ("api", "kill_switch")])
def test_a_compressed_push_is_quarantined(serve: Serve, name: str, allocated: Callable[[], int]) -> None:
    """B11: Pub/Sub sends none; whoever does is not believed, and not told to come again."""
    served = serve(name)
    answer = served.client.post(
        "/", data=BOMB, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 204
    assert len(served.quarantined()) == 1
    assert allocated() < HALF


def priced(count: int) -> bytes:
    """Return a batch of so many prices; a million bytes take some 70,000."""
    symbols = ",".join(f'"S{number:05}"' for number in range(count))
    body = f'"symbols":[{symbols}],"last":[{",".join(["9.5"] * count)}]'
    return f'{{"type":"stopline.prices.v1","as_of":"2026-11-18T17:00:00Z",{body}}}'.encode()


@pytest.mark.parametrize(
    ("count", "refused"), [(100_000, "TOO_LARGE"), (70_000, "BAD_MESSAGE"), (5_000, None)]
)
def test_the_largest_price_batches_take_little_memory_and_leave_nothing_behind(
    serve: Serve, count: int, refused: str | None
) -> None:
    """F58, B55: the cap is told before a price is looked at. An instance has 1 GB for four requests."""
    served, message = serve("prices"), priced(count)
    assert served.push(priced(1)).status_code == 204  # what is loaded once is not counted
    tracemalloc.start()
    try:
        assert served.push(message, message_id="m-2").status_code == 204
        kept, most = tracemalloc.get_traced_memory()
        assert served.push(message, message_id="m-3").status_code == 204  # once more
        grown = tracemalloc.get_traced_memory()[0] - kept
    finally:
        tracemalloc.stop()
    assert [kept["reason"] for kept in served.quarantined()] == [refused] * 2 * bool(refused)
    print(f"{count} prices, {len(message)} bytes: {most} at most, {grown} more after the next")
    assert most < 25_000_000
    assert grown < 3_000_000
