"""Processes that never outlive the program that started them."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections, so that none of those is in the
# way.
_PORTS = range(20_000, 32_000)
_WARDEN = Path(__file__).with_name("warden.py")


class NotReady(Exception):
    """A process ended early or did not answer in time; the message carries the end of its log."""


def free_port() -> int:
    """Return a port of this machine that nothing listens on, and that nobody else was given just now.

    It is bound only later, so it is claimed by a file that other processes see; a claim is void after two minutes.
    """
    claims = Path(tempfile.gettempdir()) / "stopline-ports"
    claims.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, 200):
        if not _claimed(claims / str(port)):
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise NotReady(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def _claimed(claim: Path) -> bool:
    """Claim a port for this process; return whether that worked."""
    with contextlib.suppress(OSError):
        if time.time() - claim.stat().st_mtime > 120:
            claim.unlink()
    try:
        claim.touch(exist_ok=False)
    except OSError:
        return False
    return True


def answers_tcp(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def answers_http(port: int, path: str = "/") -> bool:
    """Return whether an HTTP server answers on the port, whatever it says."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}{path}", timeout=2):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False


def alive(group: int) -> bool:
    """Return whether a process of the group runs; those that only wait to be collected do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (command) state parent group …: the command may hold blanks and brackets
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


class Process:
    """A command in a process group of its own, its output in a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._ready = ready
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output, _uninterrupted():
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
            )
            self.group = self._popen.pid
            _running.add(self)

    def wait_ready(self, seconds: float = 30) -> None:
        """Return once the process answers; raise NotReady if it ended or took longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not self._ready():
            if self._popen.poll() is not None:
                raise NotReady(f"{self.name} ended with code {self._popen.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} did not answer within {seconds:g} s:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines: int = 30) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        """Send a signal to every process of the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, number)

    def end(self, grace: float) -> bool:
        """Ask the first process alone to end, as a container's is asked; kill the group after `grace` seconds. Return
        whether it ended by itself.
        """
        self._popen.terminate()
        deadline = time.monotonic() + grace
        while (left := self._popen.poll() is None or alive(self.group)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left:
            self.signal(signal.SIGKILL)
        self.stop()
        return not left

    def stop(self, seconds: float = 5) -> None:
        """End the whole group: asked first, killed after `seconds`. Twice does no harm."""
        stop([self], seconds)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let an interrupt wait: a process that was started and is not known yet would be ended by nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the main thread only
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for missed in came:
            signal.raise_signal(missed)


def stop(processes: Sequence[Process], seconds: float = 5) -> None:
    """End several groups together, so that they take no longer than the slowest."""
    for process in processes:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    killed = False
    left = list(processes)
    while left:
        left = [process for process in left if process._popen.poll() is None or alive(process.group)]
        if left and time.monotonic() > deadline:
            if killed:
                raise RuntimeError(f"still there after SIGKILL: {', '.join(one.name for one in left)}")
            for process in left:
                process.signal(signal.SIGKILL)
            deadline, killed = time.monotonic() + 5, True
        elif left:
            time.sleep(0.02)
    for process in processes:
        _running.discard(process)


class _Running:
    """The groups that run, and the warden that ends them if this program is killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._warden: subprocess.Popen[str] | None = None

    def add(self, process: Process) -> None:
        with self._lock:
            self._processes[process.group] = process
            self._tell(f"+{process.group}")

    def discard(self, process: Process) -> None:
        with self._lock:
            if self._processes.pop(process.group, None) is not None:
                self._tell(f"-{process.group}")

    def stop_all(self) -> None:
        stop(list(self._processes.values()))
        if self._warden is not None:
            self._warden.communicate()

    def _tell(self, line: str) -> None:
        if self._warden is None:
            atexit.register(self.stop_all)
            self._warden = subprocess.Popen(
                [sys.executable, "-I", "-S", _WARDEN],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        pipe = self._warden.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.write(line + "\n")
            pipe.flush()


_running = _Running()
