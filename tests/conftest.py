"""What every test may ask for: the emulators, a whole stack, and the services that alerts go to."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from proved import pytest_runtest_logreport as pytest_runtest_logreport  # hooks: what the catalogues rest on
from proved import pytest_sessionfinish as pytest_sessionfinish

from emulators import bigquery, google
from emulators.fakes import DiscordFake, SmtpFake, TwilioFake
from emulators.stack import Emulators, Stack

# A shell gives its background jobs an ignored SIGINT, and their children inherit it: the tests that interrupt
# a program need it as a terminal gives it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run of CI, so that a red run is about the change; new ones by hand.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=int(os.environ.get("STOPLINE_EXAMPLES", "2000")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while thousands of tests are collected, nor among them later: they all stay, and the search was a
    quarter of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Commands set the level of the process's logs: what they set ends with their test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Firestore, Pub/Sub and, where it is installed, BigQuery. Skips with a word on what to install."""
    needed = google.missing()
    if needed:
        pytest.skip(" ".join(needed))
    logs = tmp_path_factory.mktemp("emulators")
    with Emulators(bigquery=not bigquery.missing(), logs=logs) as running:
        yield running.wait_ready()


@pytest.fixture(scope="session")
def stack(emulators: Emulators) -> Iterator[Stack]:
    """One project with every function, shared by the whole session: use accounts of your own in it."""
    with Stack(emulators=emulators) as running:
        yield running.up()


@pytest.fixture
def project(emulators: Emulators) -> Iterator[Stack]:
    """A fresh project on the shared emulators, without functions: every subscription can be pulled."""
    with Stack(emulators=emulators) as running:
        yield running.up(functions=())


@pytest.fixture
def needs_bigquery(emulators: Emulators) -> None:
    """Skips where the BigQuery emulator could not be installed."""
    if emulators.bigquery_url is None:
        pytest.skip(bigquery.NOT_INSTALLED)


@pytest.fixture
def twilio() -> Iterator[TwilioFake]:
    """A Twilio that sends nothing."""
    with TwilioFake() as fake:
        yield fake


@pytest.fixture
def discord() -> Iterator[DiscordFake]:
    """A Discord with one webhook."""
    with DiscordFake() as fake:
        yield fake


@pytest.fixture
def smtp() -> Iterator[SmtpFake]:
    """A mail server without encryption or login."""
    with SmtpFake() as fake:
        yield fake
