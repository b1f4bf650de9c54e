"""The same for many names, several at a time: what waits for a service outside waits side by side."""

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from stopline.adapters.lazy import Lazy

AT_ONCE = 8  # more is not faster: one interpreter works for all of them


class Threads:
    """Calls with each name in threads of its own, which all callers of this process share. They begin in the order of the
    names. What is called must not come back here: it would wait for itself.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._pool = Lazy(lambda: ThreadPoolExecutor(at_once, thread_name_prefix="each"))

    def __call__(self, work: Callable[[str], None], names: Sequence[str]) -> None:
        """Return when all calls have ended; raise what the first of them that failed raised."""
        if len(names) == 1:
            work(names[0])
            return
        pool = self._pool()
        begun = [pool.submit(contextvars.copy_context().run, work, name) for name in names]
        faults = [fault for one in begun if (fault := one.exception())]
        if faults:
            raise faults[0]
