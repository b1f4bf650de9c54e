"""`stopline demo`: 5 February 2018 through the whole of Stopline, on this machine."""

import signal
import time
from types import FrameType

import click

from emulators.demo.backend import Backend, DemoFailed
from emulators.demo.market import OPENS, ZONE
from emulators.demo.screen import Screen
from emulators.demo.story import SHORT, WHOLE, Story
from emulators.processes import NotReady
from emulators.stack import available
from stopline.model.errors import StoplineError

SPEED = 3600.0  # seconds of the day in a second, where somebody looks on


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["auto", "emulators", "embedded"]),
    default="auto",
    show_default=True,
    help="On the Google Cloud emulators, or in one process over memory. auto: emulators if installed.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=None,
    help=f"Seconds of the day in a second; 0: as fast as it goes. [default: {SPEED:g} in a terminal, else 0]",
)
@click.option("--short", is_flag=True, help="From noon on, without most minutes in which little happens.")
def demo(mode: str, speed: float | None, short: bool) -> None:
    """Replay 5 February 2018, the day the VIX doubled, through the whole pipeline.

    No account, credential or network is needed. Ends with 0 only if every fill is accounted for and the book
    is flat.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    missing = available() if mode != "embedded" else []
    if missing and mode == "emulators":
        raise click.ClickException("The emulators cannot start.\n" + "\n".join(missing))
    screen = Screen()
    started = time.monotonic()
    try:
        if mode == "embedded" or missing:
            _embedded(screen, missing, speed, short)
        else:
            _emulated(screen, speed, short)
    except (DemoFailed, NotReady, StoplineError) as problem:
        raise click.ClickException(f"The demo failed: {problem}") from problem
    except KeyboardInterrupt:
        screen.say("Stopped.")
        raise SystemExit(130) from None
    screen.say(f"The demo took {time.monotonic() - started:.0f} s.", "dim")


def _embedded(screen: Screen, missing: list[str], speed: float | None, short: bool) -> None:
    from emulators.demo.embedded import EmbeddedBackend

    if missing:
        screen.say("Without the emulators: the same use cases run in this process, over memory.", "yellow")
        for sentence in missing:
            screen.say(sentence)
    else:
        screen.say("Embedded: all functions in this process, over memory.")
    backend = EmbeddedBackend(OPENS, str(ZONE))
    try:
        _tell(backend, screen, speed, short)
    finally:
        backend.stop()


def _emulated(screen: Screen, speed: float | None, short: bool) -> None:
    from emulators.demo.emulated import EmulatedBackend

    screen.say("Starting Firestore, Pub/Sub, BigQuery (emulators) and seven functions ...")
    started = time.monotonic()
    backend = EmulatedBackend(OPENS)
    try:
        screen.say(f"All of it answers after {time.monotonic() - started:.1f} s.")
        _tell(backend, screen, speed, short)
    except (DemoFailed, StoplineError) as problem:
        raise DemoFailed(f"{problem}. The logs are in {backend.logs}") from problem
    except KeyboardInterrupt:
        backend.forget_logs()
        raise
    finally:
        backend.stop()
    backend.forget_logs()


def _tell(backend: Backend, screen: Screen, speed: float | None, short: bool) -> None:
    if speed is None:
        speed = SPEED if screen.interactive else 0.0
    with screen:
        counted = Story(backend, screen, speed, SHORT if short else WHOLE).run()
    if counted.in_flight:
        raise DemoFailed(f"{counted.in_flight} fills are unaccounted for")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    demo()
