"""From an alert on its topic to the message that a channel takes, over thousands of alerts of as many accounts.

    PYTHONPATH="$PWD:$PWD/tests" .venv/bin/python tests/benchmarks/bench_alert.py [--alerts 2000] [--rate 20]
        [--provider-ms 100] [--lanes 8] [--json]

On the emulators: critical alerts, each of an account of its own, are pushed over HTTP to the real function `alerts`, `rate`
a second, whether those before are answered or not: what the function cannot take at once waits here, as it would in
Pub/Sub, and the wait counts. The provider is a fake Discord that answers after `provider-ms`. Taken: from the moment at
which an alert was due to be published until the provider has its request. A message that is not acknowledged comes again
after a second. `--rate 0` publishes all at once: the queue behind the provider.
"""

import argparse
import json
import os
import queue
import re
import statistics
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests
from load.test_load import pushed

from emulators.fakes import DiscordFake
from emulators.fakes.http import Reply
from emulators.stack import Stack
from stopline.model.account import Account
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

WEBHOOK = "https://discord.com/api/webhooks/1000000000000000001/test-webhook-token"
NUMBER = re.compile(r"bench number (\d{6})")


class SlowDiscord(DiscordFake):
    """A Discord that takes its time; `taken`: when it had the request that tells each alert."""

    def __init__(self, seconds: float) -> None:
        self.taken: dict[int, float] = {}
        self._seconds = seconds
        super().__init__()

    def usual(self, path: str, headers: Mapping[str, str], form: dict[str, Any]) -> Reply:
        """Note the alert, and answer after a while."""
        at = time.time()
        for number in NUMBER.findall(json.dumps(form)):
            self.taken.setdefault(int(number), at)
        time.sleep(self._seconds)
        return super().usual(path, headers, form)


class Pusher:
    """Pushes alerts when they are due, a number of them at a time; what is refused comes again after a second."""

    def __init__(self, url: str, lanes: int) -> None:
        self._url = url
        self._waiting: queue.SimpleQueue[tuple[int, float] | None] = queue.SimpleQueue()
        self.again = 0
        self.due: dict[int, float] = {}
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(lanes)]

    def run(self, alerts: int, rate: float) -> None:
        """Publish so many alerts, `rate` a second (0: all at once), and return when all are acknowledged."""
        for thread in self._threads:
            thread.start()
        began = time.time()
        for number in range(alerts):
            due = began + (number / rate if rate else 0.0)
            time.sleep(max(0.0, due - time.time()))
            self.due[number] = due
            self._waiting.put((number, due))
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (item := self._waiting.get()) is not None:
                number, due = item
                while not session.post(
                    self._url, json=pushed(alert(number, due), f"m-{number}"), timeout=210
                ).ok:
                    self.again += 1
                    time.sleep(1)


def alert(number: int, at: float) -> dict[str, Any]:
    return {
        "type": "stopline.alert.v1",
        "alert_id": f"bench-{number:06d}",
        "account": f"acc-{number:06d}",
        "kind": "bench",
        "object": "bench",
        "severity": "critical",
        "summary": f"bench number {number:06d}",
        "raised_at": datetime.fromtimestamp(at, UTC).isoformat(),
    }


def open_accounts(app: App, count: int) -> None:
    """Open an account for each alert; all of them are told to the one webhook."""
    for number in range(count):
        facts = {
            "account": f"acc-{number:06d}",
            "owner": "ann",
            "currency": "USD",
            "capital": "100000",
            "recipients": {"discord": [WEBHOOK]},
        }
        app.account_writer.create(Account.model_validate(facts), "bench")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alerts", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--provider-ms", type=float, default=100.0)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with SlowDiscord(chosen.provider_ms / 1000) as discord, Stack() as stack:
        stack.up(functions=("alerts",), bigquery=False, settings={"STOPLINE_DISCORD_URL": discord.url})
        os.environ.update(stack.env)
        from stopline.adapters.clock import SystemClock
        from stopline.adapters.firestore import FirestoreStore
        from stopline.adapters.pubsub import PubSubBus

        patient = FirestoreStore(stack.project, timeout_s=60)  # the emulator's first answers take seconds
        app = App(Ports(patient, PubSubBus(stack.project), SystemClock()))
        open_accounts(app, chosen.alerts)
        pusher = Pusher(stack.urls["alerts"], chosen.lanes)
        began = time.time()
        pusher.run(chosen.alerts, chosen.rate)
        report(chosen, pusher, discord, time.time() - began)


def report(chosen: argparse.Namespace, pusher: Pusher, discord: SlowDiscord, seconds: float) -> None:
    """Print the figures."""
    took = sorted(discord.taken[n] - at for n, at in pusher.due.items() if n in discord.taken)
    facts = {
        "alerts": chosen.alerts,
        "lost": chosen.alerts - len(took),
        "messages": len(discord.accepted),
        "pushed_again": pusher.again,
        "per_second": round(chosen.alerts / seconds, 1),
        "p50_ms": round(statistics.median(took) * 1000),
        "p99_ms": round(took[min(len(took) - 1, int(len(took) * 0.99))] * 1000),
        "worst_ms": round(took[-1] * 1000),
    }
    if chosen.json:
        print(json.dumps(facts, indent=2))
        return
    print(
        f"{facts['alerts']} alerts, {chosen.rate:g} a second (0: all at once), a provider of {chosen.provider_ms:g} ms:"
        f" {facts['lost']} lost, {facts['messages']} messages, {facts['pushed_again']} pushed again;"
        f" {facts['per_second']} a second went through"
    )
    print(
        f"published to taken: p50 {facts['p50_ms']} ms, p99 {facts['p99_ms']} ms, worst {facts['worst_ms']} ms"
    )


if __name__ == "__main__":
    main()
