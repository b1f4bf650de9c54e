"""The whole system on this machine: emulators, functions, and the topology that joins them.

    with Stack() as stack:
        stack.up(settings={"STOPLINE_…": "…"})
        stack.publish("fills", {"type": "stopline.fill.v1", …})

Every stack is a project of its own. Stacks that share `Emulators` start in a fraction of the time and do not
see each other, which is how tests are kept apart: nothing is ever reset.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from emulators import bigquery as bigquery_emulator
from emulators import bootstrap, google, processes
from emulators import functions as functions_server
from emulators.processes import HOST, Process, free_port
from emulators.topology import ROOT, Topology, load

# What must not reach a function here from the caller: credentials and settings of a real deployment.
_PRIVATE = (
    "STOPLINE_",
    "TWILIO_",
    "DISCORD_",
    "SMTP_",
    "GOOGLE_",
    "CLOUDSDK_",
    "GUNICORN_",
    "K_",
    "FUNCTION_",
)


def available(bigquery: bool = True) -> list[str]:
    """Return a sentence on each thing that must be installed before a stack can start; empty when it can."""
    return google.missing() + (bigquery_emulator.missing() if bigquery else [])


def clean_environment() -> dict[str, str]:
    """Return the caller's environment without what belongs to a real deployment."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_PRIVATE)}


class Emulators:
    """The running emulators. They serve any number of projects."""

    def __init__(self, *, bigquery: bool = True, logs: Path | None = None) -> None:
        """Start them, without waiting for them: see `wait_ready`."""
        self.logs = logs or Path(tempfile.mkdtemp(prefix="stopline-"))
        env = clean_environment()
        firestore, pubsub = free_port(), free_port()
        self.firestore_host = f"{HOST}:{firestore}"
        self.pubsub_host = f"{HOST}:{pubsub}"
        self.bigquery_url: str | None = None
        self.processes: dict[str, Process] = {}
        try:
            self.processes["firestore"] = google.firestore(firestore, env, self.logs)
            self.processes["pubsub"] = google.pubsub(pubsub, env, self.logs)
            if bigquery:
                port = free_port()
                self.bigquery_url = f"http://{HOST}:{port}"
                self.processes["bigquery"] = bigquery_emulator.bigquery(port, env, self.logs)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, seconds: float = 60) -> Self:
        """Return once all of them answer."""
        for process in self.processes.values():
            process.wait_ready(seconds)
        return self

    def restart_pubsub(self) -> None:
        """Kill the Pub/Sub emulator and start it again at its port: its topics and messages are gone."""
        old = self.processes["pubsub"]
        old.signal(signal.SIGKILL)
        old.stop()
        port = int(self.pubsub_host.rpartition(":")[2])
        self.processes["pubsub"] = google.pubsub(port, clean_environment(), self.logs)

    def stop(self) -> None:
        """End all of them."""
        processes.stop(list(self.processes.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class Message:
    """A message as a subscriber gets it."""

    data: bytes
    attributes: dict[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    message_id: str = ""

    def json(self) -> Any:
        """Return the body, which must be JSON."""
        return json.loads(self.data)


class Stack:
    """One project on the emulators with its functions, from `up` to `down` or the end of the `with`."""

    def __init__(
        self,
        *,
        emulators: Emulators | None = None,
        topology: Topology | None = None,
        logs: Path | None = None,
    ) -> None:
        """Prepare a stack on `emulators`, or on ones of its own where None."""
        self.project = f"stopline-{secrets.token_hex(4)}"
        self.topology = topology or load()
        self.processes: dict[str, Process] = {}
        self.urls: dict[str, str] = {}
        self._starts: dict[str, Callable[[], Process]] = {}
        self._shared = emulators
        self._own: Emulators | None = None
        self._logs = logs
        self._pubsub: bootstrap.Rest | None = None
        self._attempts: int | None = bootstrap.ATTEMPTS

    @property
    def emulators(self) -> Emulators:
        """The emulators it runs on."""
        emulators = self._shared or self._own
        if emulators is None:
            raise RuntimeError("the stack is not up")
        return emulators

    @property
    def logs(self) -> Path:
        """The folder with a log file for each process."""
        return self._logs or self.emulators.logs / self.project

    @property
    def env(self) -> dict[str, str]:
        """What a program needs in its environment to work with this stack."""
        env = {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "FIRESTORE_EMULATOR_HOST": self.emulators.firestore_host,
            "PUBSUB_EMULATOR_HOST": self.emulators.pubsub_host,
        }
        if self.emulators.bigquery_url is not None:
            env["BIGQUERY_EMULATOR_HOST"] = self.emulators.bigquery_url
        return env

    def up(
        self,
        functions: Iterable[str] | Mapping[str, Path] | None = None,
        *,
        bigquery: bool = True,
        settings: Mapping[str, str] | None = None,
        attempts: int | None = bootstrap.ATTEMPTS,
    ) -> Self:
        """Start everything at once and return when all of it answers.

        `functions` names those to start (None: every one of the topology; a mapping says which main.py to
        take); subscriptions of the others can be pulled. `settings` go into the environment of the functions.
        `bigquery` says whether emulators of its own include that one.
        """
        if self.urls or self._own is not None:
            raise RuntimeError("the stack is up already")
        sources = self._sources(functions)
        self._attempts = attempts
        try:
            if self._shared is None:
                self._own = Emulators(bigquery=bigquery, logs=self._logs)
            env = {**clean_environment(), **self.env, "NO_PROXY": f"{HOST},localhost", **(settings or {})}
            for name, source in sources.items():
                port = free_port()
                self.urls[name] = f"http://{HOST}:{port}"
                entry = self.topology.functions[name]
                self._starts[name] = partial(
                    functions_server.function, name, entry, source, port, env, self.logs
                )
                self.processes[name] = self._starts[name]()
            with ThreadPoolExecutor(2) as pool:
                jobs = [pool.submit(self._apply_pubsub, attempts), pool.submit(self._apply_bigquery)]
                for process in self.processes.values():
                    process.wait_ready()
                for job in jobs:
                    job.result()
        except BaseException:
            self.down()
            raise
        return self

    def restart(self, name: str, grace: float = 10) -> bool:
        """Ask a function's server to stop, kill it after `grace` seconds as Cloud Run does, and start it again at its port;
        return whether it ended by itself.
        """
        ended = self.processes[name].end(grace)
        self.processes[name] = self._starts[name]()
        self.processes[name].wait_ready()
        return ended

    def restart_pubsub(self) -> None:
        """Restart the Pub/Sub emulator and give it the topology again; every project on it loses its messages."""
        self.emulators.restart_pubsub()
        self._apply_pubsub(self._attempts)

    def down(self) -> None:
        """End the functions, then the emulators if they are its own. Twice does no harm."""
        processes.stop(list(self.processes.values()))
        self.urls.clear()
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None
        if self._own is not None:
            self._own.stop()
            self._own = None

    def publish(
        self, topic: str, body: object, attributes: Mapping[str, str] | None = None, ordering_key: str = ""
    ) -> str:
        """Publish bytes, or anything else as JSON, and return the message id."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = {
            "data": base64.b64encode(data).decode(),
            "attributes": dict(attributes or {}),
            "orderingKey": ordering_key,
        }
        path = f"/v1/projects/{self.project}/topics/{topic}:publish"
        answer = self._rest().call("POST", path, {"messages": [message]})
        message_id: str = answer["messageIds"][0]
        return message_id

    def pull(self, subscription: str, count: int = 1, seconds: float = 10) -> list[Message]:
        """Take and acknowledge messages until there are `count` of them or `seconds` have gone by."""
        path = f"/v1/projects/{self.project}/subscriptions/{subscription}"
        deadline = time.monotonic() + seconds
        messages: list[Message] = []
        while len(messages) < count and time.monotonic() < deadline:
            body = {"maxMessages": count - len(messages), "returnImmediately": True}
            received = self._rest().call("POST", f"{path}:pull", body).get("receivedMessages", [])
            if not received:
                time.sleep(0.02)
                continue
            ids = [one["ackId"] for one in received]
            self._rest().call("POST", f"{path}:acknowledge", {"ackIds": ids})
            messages += [
                Message(
                    base64.b64decode(one["message"].get("data", "")),
                    one["message"].get("attributes", {}),
                    one["message"].get("orderingKey", ""),
                    one["message"]["messageId"],
                )
                for one in received
            ]
        return messages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _sources(self, functions: Iterable[str] | Mapping[str, Path] | None) -> dict[str, Path]:
        if isinstance(functions, Mapping):
            return dict(functions)
        names = self.topology.functions if functions is None else functions
        return {name: ROOT / self.topology.functions[name].folder / "main.py" for name in names}

    def _rest(self) -> bootstrap.Rest:
        if self._pubsub is None:
            self._pubsub = bootstrap.Rest(self.emulators.pubsub_host)
        return self._pubsub

    def _apply_pubsub(self, attempts: int | None) -> None:
        self.emulators.processes["pubsub"].wait_ready()
        bootstrap.pubsub(self._rest(), self.project, self.topology, self.urls, attempts)
        self.emulators.processes["firestore"].wait_ready()

    def _apply_bigquery(self) -> None:
        if self.emulators.bigquery_url is None:
            return
        self.emulators.processes["bigquery"].wait_ready()
        rest = bootstrap.Rest(self.emulators.bigquery_url.removeprefix("http://"), "/bigquery/v2")
        bootstrap.bigquery(rest, self.project, self.topology.dataset)
        rest.close()
