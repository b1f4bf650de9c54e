"""How a function loads what it needs before its port opens."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Look for no garbage while modules load: there is none, and looking was a seventh of the kill switch's start.

    What is loaded by then is never looked through again, in no worker that is forked from here.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
