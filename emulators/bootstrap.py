"""Gives the emulators what Terraform gives Google Cloud: topics, subscriptions, tables and views.

Over REST, because importing the client libraries takes longer than the whole of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from emulators.topology import ROOT, Subscription, Topology

SCHEMAS = ROOT / "infra" / "schemas" / "bigquery"

# Production waits for an outage of hours before it gives a message up. The emulator delivers again about once
# a second and has no other pace that works, so here it gives up after the least number of attempts there is.
ATTEMPTS = 5
_MOST_DAYS = 7  # the emulator's limit on retention; production has 31


class Refused(Exception):
    """An emulator did not take a part of the configuration; the message carries its answer."""


class Rest:
    """A small JSON client that goes straight to this machine, whatever proxy the environment names."""

    def __init__(self, host: str, base: str = "") -> None:
        self._base = f"http://{host}{base}"
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, body: object = None, seconds: float = 30) -> dict[str, Any]:
        """Send one request and return its JSON answer; raise Refused on any other status than 2xx."""
        answer = self._session.request(method, self._base + path, json=body, timeout=seconds)
        if not answer.ok:
            raise Refused(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def pubsub(
    rest: Rest, project: str, topology: Topology, urls: Mapping[str, str], attempts: int | None = ATTEMPTS
) -> None:
    """Create every topic, dead letter and subscription of the topology in one project.

    A subscription pushes to its function's URL in `urls`; where its function is not in there, it is left for
    pulling. `attempts` stands in for the number in the topology unless it is None. The retry policy is left
    out: with one, the emulator stalls after some attempts and nothing reaches the dead letter.
    """
    base = f"projects/{project}"
    dead = topology.dead_letters
    for topic in topology.topics:
        rest.call("PUT", f"/v1/{base}/topics/{topic}", {})
        rest.call("PUT", f"/v1/{base}/topics/{dead.topic(topic)}", {})
        body = {
            "topic": f"{base}/topics/{dead.topic(topic)}",
            "ackDeadlineSeconds": dead.ack_seconds,
            **_lifetime(dead.retention_days),
        }
        rest.call("PUT", f"/v1/{base}/subscriptions/{dead.subscription(topic)}", body)
        if dead.told_by in urls:
            body["pushConfig"] = {"pushEndpoint": f"{urls[dead.told_by]}/{base}/topics/{dead.topic(topic)}"}
            rest.call("PUT", f"/v1/{base}/subscriptions/{dead.telling(topic)}", body)
    for name, entry in topology.subscriptions.items():
        body = _subscription(base, topology, entry, attempts)
        url = urls.get(entry.function or "")
        if url is not None:
            body["pushConfig"] = {"pushEndpoint": f"{url}/{base}/topics/{entry.topic}"}
        rest.call("PUT", f"/v1/{base}/subscriptions/{name}", body)


def _subscription(base: str, topology: Topology, entry: Subscription, attempts: int | None) -> dict[str, Any]:
    return {
        "topic": f"{base}/topics/{entry.topic}",
        "ackDeadlineSeconds": entry.ack_seconds,
        "enableMessageOrdering": entry.ordered,
        "retainAckedMessages": entry.retain_acked,
        **({"filter": entry.filter} if entry.filter else {}),
        "deadLetterPolicy": {
            "deadLetterTopic": f"{base}/topics/{topology.dead_letters.topic(entry.topic)}",
            "maxDeliveryAttempts": entry.attempts if attempts is None else attempts,
        },
        **_lifetime(entry.retention_days),
    }


def _lifetime(retention_days: int) -> dict[str, Any]:
    seconds = min(retention_days, _MOST_DAYS) * 86_400
    return {"messageRetentionDuration": f"{seconds}s", "expirationPolicy": {}}


def bigquery(rest: Rest, project: str, dataset: str, schemas: Path = SCHEMAS) -> None:
    """Create the dataset, a table for each *.json of `schemas` and a view for each views/*.sql.

    A table file is either the list of its fields or a table resource (`schema`, `timePartitioning`,
    `clustering`). In a view, {dataset} stands for project and dataset. Views may build on each other in any
    order: the emulator looks at what they select from only when they are asked.
    """
    here = f"/projects/{project}/datasets"
    _settled(rest, here, {"datasetReference": {"projectId": project, "datasetId": dataset}})
    for path in sorted(schemas.glob("*.json")):
        resource = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(resource, list):
            resource = {"schema": {"fields": resource}}
        _create(rest, here, project, dataset, path.stem, _emulated(resource))
    for path in sorted((schemas / "views").glob("*.sql")):
        query = path.read_text(encoding="utf-8").replace("{dataset}", f"{project}.{dataset}")
        _create(rest, here, project, dataset, path.stem, {"view": {"query": query, "useLegacySql": False}})


def _settled(rest: Rest, path: str, body: object) -> None:
    """Send the first request; the BigQuery emulator may answer 500 in the moment after its port has opened."""
    for _ in range(20):
        try:
            rest.call("POST", path, body)
            return
        except Refused as problem:
            if "answered 409" in str(problem):
                return  # an earlier try was carried out
            if "answered 500" not in str(problem):
                raise
            time.sleep(0.25)
    rest.call("POST", path, body)


def _create(
    rest: Rest, here: str, project: str, dataset: str, name: str, resource: Mapping[str, Any]
) -> None:
    reference = {"projectId": project, "datasetId": dataset, "tableId": name}
    rest.call("POST", f"{here}/{dataset}/tables", {**resource, "tableReference": reference})


def _emulated(value: Any) -> Any:
    """Replace BIGNUMERIC by NUMERIC: the emulator answers 500 to rows with one."""
    if isinstance(value, dict):
        return {key: _emulated(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_emulated(part) for part in value]
    return "NUMERIC" if value == "BIGNUMERIC" else value
