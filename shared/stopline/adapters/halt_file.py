"""The file in which a client keeps the halts that were not stored yet, for its next start."""

import logging
from collections.abc import Mapping
from pathlib import Path

from stopline.model.errors import Rejected
from stopline.model.messages import Halt
from stopline.model.wire import canonical, decode_object, validate

log = logging.getLogger("stopline")
EMPTY = b"{}"


class HaltFile:
    """Halts by id. `fault` says why nobody knows which halts hold: then the file stays as it is, for people to look at.

    It is for one client: what somebody else has written there would be lost by the next write, so that is a fault too.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = EMPTY
        self.fault = ""

    def read(self) -> dict[str, Halt]:
        """Return the halts of the last run; none where there is no file, and where it cannot be read."""
        try:
            if self._path is None or not self._path.exists():
                return {}
            self._kept = self._path.read_bytes()
            return {id_: validate(Halt, halt) for id_, halt in decode_object(self._kept).items()}
        except (OSError, Rejected) as problem:
            self._fail(f"{self._path} cannot be read, a halt may hold: {problem}")
            return {}

    def write(self, halts: Mapping[str, Halt]) -> None:
        """Keep the halts, whole or not at all. Where that fails they are not kept: write them again."""
        text = canonical({id_: halt.model_dump(mode="json") for id_, halt in halts.items()})
        if self._path is None or self.fault or text == self._kept:
            return
        try:
            if self._path.exists() and self._path.read_bytes() not in (self._kept, text):
                self._fail(f"somebody else writes {self._path}, a halt may be lost: it is for one client")
                return
            whole = self._path.with_name(f"{self._path.name}.new")
            whole.write_bytes(text)
            whole.replace(self._path)
            self._kept = text
        except OSError:
            log.exception("client: a halt cannot be kept, a restart now would forget it")

    def _fail(self, fault: str) -> None:
        self.fault = fault
        log.critical("client: %s", fault)
