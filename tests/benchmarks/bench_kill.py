"""The kill switch while the fill path works as hard as it can: how long until a kill is stored, and on the topic.

    PYTHONPATH="$PWD:$PWD/tests" .venv/bin/python tests/benchmarks/bench_kill.py [--kills 1000] [--writers 4] [--json]

On the emulators: `writers` post fills to the function `fills` without a pause, while as many accounts with an open
position as there are kills are killed one after another over HTTP. Stored: from the request to the update time that
Firestore has noted on the control. On the topic: from the request until a subscriber of `orders` has the close command.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from e2e.storm import make_fills
from load.test_load import pushed

from emulators.stack import Stack
from stopline.model.account import Account
from stopline.model.control import account_scope
from stopline.model.fill import Fill
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

TOKEN = "bench-token"
BUSY = 20  # accounts that the fills are of


def seconds(moment: datetime) -> float:
    return moment.timestamp()


class Topic(threading.Thread):
    """A subscriber of `orders`: when the first close command of each account came."""

    def __init__(self, project: str) -> None:
        super().__init__(daemon=True)
        from google.cloud import pubsub_v1

        self._client = pubsub_v1.SubscriberClient()
        self._path = self._client.subscription_path(project, "orders-broker")
        self.came: dict[str, float] = {}
        self.future: Any = None

    def run(self) -> None:
        self.future = self._client.subscribe(self._path, self._take)
        self.future.result()

    def _take(self, message: Any) -> None:
        at = time.time()
        body = json.loads(message.data)
        if body.get("action") == "close":
            self.came.setdefault(body["account"], at)
        message.ack()


@contextmanager
def load(url: str, writers: int) -> Iterator[list[float]]:
    """Post fills without a pause until the end of the `with`; give the times that they took."""
    rng, stop = random.Random(9), threading.Event()
    fills = make_fills(rng, datetime.now(UTC) - timedelta(hours=2), 200_000, BUSY)
    took: list[float] = []

    def write(number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for n, fill in enumerate(fills[number::writers]):
                started = time.monotonic()
                session.post(url, json=pushed(fill, f"{number}-{n}"), timeout=60).raise_for_status()
                took.append(time.monotonic() - started)
                if stop.is_set():
                    return

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def open_accounts(app: App, kills: int) -> None:
    """Open the accounts that are killed, with a position each, and those that trade."""
    for name in [f"kill-{n:04d}" for n in range(kills)] + [f"acc-{n:02d}" for n in range(BUSY)]:
        facts = {
            "account": name,
            "owner": "ann",
            "currency": "USD",
            "capital": "1000000000",
            "calendar": "24/7",
        }
        app.account_writer.create(Account.model_validate(facts), "bench")
        if name.startswith("kill"):
            app.recorder.record([Fill.model_validate(bought(name))], name)


def bought(account: str) -> dict[str, Any]:
    return {
        "type": "stopline.fill.v1",
        "fill_id": f"E-{account}",
        "broker": "paper",
        "account": account,
        "instrument": {"symbol": "AAPL", "kind": "equity", "currency": "USD"},
        "side": "BUY",
        "quantity": "10",
        "price": "100",
        "executed_at": datetime.now(UTC).isoformat(),
    }


def kill_all(stack: Stack, kills: int) -> tuple[list[float], dict[str, float]]:
    """Kill one account after another; return how long the answers took, and when each request went out."""
    answered, sent = [], {}
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        for n in range(kills):
            name = f"kill-{n:04d}"
            body = {"request_id": f"bench-{n}", "scope": account_scope(name), "reason": "bench"}
            sent[name] = time.time()
            answer = session.post(f"{stack.urls['kill_switch']}/kill", json=body, timeout=60)
            answered.append(time.time() - sent[name])
            answer.raise_for_status()
    return answered, sent


def stored_at(project: str, kills: int) -> dict[str, float]:
    """Return when Firestore created each account's control."""
    from google.cloud import firestore

    found = {}
    for snapshot in firestore.Client(project=project).collection("controls").stream():
        name = str(snapshot.get("scope")).removeprefix("account:")
        found[name] = snapshot.create_time.timestamp()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    ann = {
        hashlib.sha256(TOKEN.encode()).hexdigest(): {"name": "ann", "rights": ["admin"], "accounts": ["*"]}
    }
    with Stack() as stack:
        stack.up(
            functions=("fills", "kill_switch"),
            bigquery=False,
            settings={"STOPLINE_PRINCIPALS": json.dumps(ann)},
        )
        os.environ.update(stack.env)
        from stopline.adapters.clock import SystemClock
        from stopline.adapters.firestore import FirestoreStore
        from stopline.adapters.pubsub import PubSubBus

        app = App(Ports(FirestoreStore(stack.project), PubSubBus(stack.project), SystemClock()))
        open_accounts(app, chosen.kills)
        topic = Topic(stack.project)
        topic.start()
        with load(stack.urls["fills"], chosen.writers) as fills:
            time.sleep(2)  # the functions are warm
            before, started = len(fills), time.monotonic()
            answered, sent = kill_all(stack, chosen.kills)
            rate = (len(fills) - before) / (time.monotonic() - started)
        deadline = time.monotonic() + 30
        while len(topic.came) < chosen.kills and time.monotonic() < deadline:
            time.sleep(0.1)
        stored = stored_at(stack.project, chosen.kills)
        report(chosen, rate, sent, stored, topic.came, answered)


def report(
    chosen: argparse.Namespace,
    rate: float,
    sent: dict[str, float],
    stored: dict[str, float],
    came: dict[str, float],
    answered: list[float],
) -> None:
    """Print the figures."""
    lanes = {
        "stored": [stored[name] - at for name, at in sent.items()],
        "on the topic": [came[name] - at for name, at in sent.items() if name in came],
        "answered": answered,
    }
    facts: dict[str, Any] = {
        "kills": chosen.kills,
        "fills_per_second": round(rate),
        "lost": chosen.kills - len(came),
    }
    for name, took in lanes.items():
        ordered = sorted(took)
        facts[name] = {
            "p50_ms": round(statistics.median(ordered) * 1000),
            "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000),
            "worst_ms": round(ordered[-1] * 1000),
        }
    if chosen.json:
        print(json.dumps(facts, indent=2))
        return
    print(
        f"{chosen.kills} kills while {rate:.0f} fills a second were booked; {facts['lost']} not on the topic"
    )
    for name in lanes:
        one = facts[name]
        print(f"{name:14} p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms, worst {one['worst_ms']} ms")


if __name__ == "__main__":
    main()
