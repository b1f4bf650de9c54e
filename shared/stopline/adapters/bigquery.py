"""The history on BigQuery: streamed rows, at least once; the `_latest` views keep one per event id."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stopline.adapters.lazy import Lazy
from stopline.adapters.schemas import check_condition, record, typed
from stopline.model.messages import HistoryRow
from stopline.ports import Kept, RowFault, Unavailable, Where

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.bigquery import Client

MAX_REQUEST_ROWS = 500
MAX_REQUEST_BYTES = 5_000_000  # BigQuery takes 10 MB, as JSON with its escapes
_OPS = {"==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_REFUSED = frozenset({"invalid"})  # the reasons that blame the row; `stopped` and outages do not


class BigQueryHistory:
    """Appends rows to the tables of one dataset and queries them.

    Beside Firestore's emulator it never asks Google: where BIGQUERY_EMULATOR_HOST is missing there it is Unavailable.
    An append ends within `timeout_s`, a query within `query_timeout_s` and `max_bytes_billed`. Without
    BIGQUERY_EMULATOR_HOST in the environment it needs Google credentials.
    """

    def __init__(
        self,
        dataset: str,
        project: str | None = None,
        *,
        client: Callable[[], Client] | None = None,
        timeout_s: float = 25.0,
        query_timeout_s: float = 50.0,
        max_bytes_billed: int = 10 * 1024**3,
    ) -> None:
        self._dataset = dataset
        self._client = Lazy(client or (lambda: _connect(project)))
        self._timeout_s = timeout_s
        self._query_timeout_s = query_timeout_s
        self._max_bytes_billed = max_bytes_billed

    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        faults: list[RowFault] = []
        tables: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            found = record(row, at)
            if isinstance(found, RowFault):
                faults.append(found)
            else:
                tables.setdefault(row.table, []).append(found)
        deadline = time.monotonic() + self._timeout_s
        for table, records in tables.items():
            for chunk in _chunks(records):
                refused, untold = self._insert(table, chunk, deadline)
                if untold:  # stopped by their neighbours or by an outage: they deserve another request
                    more, untold = self._insert(table, untold, deadline)
                    refused += more
                if untold:
                    raise Unavailable(f"BigQuery took {len(untold)} rows for {table} neither in nor back")
                faults += refused
        return faults

    def read(self, table: str, where: Sequence[Where]) -> list[dict[str, Any]]:
        tests, values = _conditions(table, where)
        sql = (  # not the view: the conditions must reach the partitions; table and fields are checked names
            f"SELECT * FROM `{{dataset}}.{table}` WHERE {tests} QUALIFY ROW_NUMBER() OVER "  # noqa: S608  # nosec B608
            "(PARTITION BY event_id ORDER BY ingested_at DESC, content_hash DESC) = 1"
        )
        return [typed(table, row) for row in self.query(sql, values)]

    def kept(self, table: str, where: Sequence[Where]) -> list[Kept]:
        tests, values = _conditions(table, where)
        sql = (  # table and fields are checked names
            "SELECT event_id, COUNT(*) AS copies, COUNT(DISTINCT content_hash) AS contents "  # noqa: S608  # nosec B608
            f"FROM `{{dataset}}.{table}` WHERE {tests} GROUP BY event_id"
        )
        return [Kept(r["event_id"], r["copies"], r["contents"]) for r in self.query(sql, values)]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query. `{dataset}` in its text stands for project and dataset, to be put in back quotes.

        One that BigQuery refuses for what it says raises ValueError.
        """
        from google.api_core.exceptions import BadRequest
        from google.cloud import bigquery

        client = self._reached()
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, value) for name, value in (parameters or {}).items()],
            maximum_bytes_billed=self._max_bytes_billed,
        )
        text = sql.replace("{dataset}", f"{client.project}.{self._dataset}")
        again, timeout_s = _retry(self._query_timeout_s / 2), self._query_timeout_s / 2
        try:
            # Not query_and_wait: it answers "no rows" where the service reports an error with status 200.
            job = client.query(text, job_config=config, retry=again, job_retry=None, timeout=timeout_s)
            return [dict(row.items()) for row in job.result(retry=again, job_retry=None, timeout=timeout_s)]
        except BadRequest as problem:
            raise ValueError(f"BigQuery refused the query: {str(problem)[:500]}") from problem
        except _failures() as problem:
            raise Unavailable(f"BigQuery did not answer: {_describe(problem)}") from problem

    def _reached(self) -> Client:
        """Return the client. Raises Unavailable without a right to talk to anybody."""
        from google.auth.exceptions import GoogleAuthError

        try:
            return self._client()
        except GoogleAuthError as problem:
            raise Unavailable(f"BigQuery cannot be asked: {_describe(problem)}") from problem

    def close(self) -> None:
        """Close the connection."""
        self._client().close()

    def _insert(
        self, table: str, records: list[dict[str, Any]], deadline: float
    ) -> tuple[list[RowFault], list[dict[str, Any]]]:
        """Send one request; return the rows refused for what they are and those of unknown fate."""
        client = self._reached()
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise Unavailable(f"no time left to append {len(records)} rows to {table}")
        try:
            answer = client.insert_rows_json(
                f"{client.project}.{self._dataset}.{table}",
                records,
                row_ids=[row["event_id"] for row in records],
                skip_invalid_rows=True,
                ignore_unknown_values=True,  # a column newer than the table: `detail` has it
                retry=_retry(remaining),
                timeout=min(remaining, 10.0),
            )
        except _failures() as problem:
            count = len(records)
            raise Unavailable(
                f"BigQuery did not take {count} rows for {table}: {_describe(problem)}"
            ) from problem
        refused: dict[int, RowFault] = {}
        untold: dict[int, dict[str, Any]] = {}
        for entry in answer:
            index, errors = entry["index"], entry["errors"]
            reason = "; ".join(f"{e.get('location') or 'row'}: {e.get('message', '')}" for e in errors)
            if any(error.get("reason") in _REFUSED for error in errors):
                refused[index] = RowFault(records[index]["event_id"], table, reason[:300])
            else:
                untold[index] = records[index]
        return list(refused.values()), [row for index, row in untold.items() if index not in refused]


def _conditions(table: str, where: Sequence[Where]) -> tuple[str, dict[str, Any]]:
    """Return conditions as SQL, with the values of its parameters."""
    for condition in where:
        check_condition(table, condition)
    tests = " AND ".join(f"{c.field} {_OPS[c.op]} @p{place}" for place, c in enumerate(where)) or "TRUE"
    return tests, {f"p{place}": condition.value for place, condition in enumerate(where)}


def _chunks(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    total = 0
    for row in records:
        size = 100 + sum(len(name) + len(str(value).encode("utf-8")) + 8 for name, value in row.items())
        if chunk and (len(chunk) == MAX_REQUEST_ROWS or total + size > MAX_REQUEST_BYTES):
            yield chunk
            chunk, total = [], 0
        chunk.append(row)
        total += size
    if chunk:
        yield chunk


def _parameter(name: str, value: Any) -> Any:
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    if isinstance(value, (list, tuple)):
        kinds = {_kind(name, item) for item in value} or {"STRING"}
        if len(kinds) > 1:
            raise TypeError(f"parameter {name} mixes {', '.join(sorted(kinds))}")
        return ArrayQueryParameter(name, kinds.pop(), list(value))
    return ScalarQueryParameter(name, _kind(name, value), value)


def _kind(name: str, value: Any) -> str:
    match value:
        case None | str():
            return "STRING"
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "FLOAT64"
        case Decimal():
            return "NUMERIC" if round(value, 9) == value else "BIGNUMERIC"
        case datetime() if value.tzinfo is not None:
            return "TIMESTAMP"
        case date() if not isinstance(value, datetime):
            return "DATE"
    raise TypeError(f"parameter {name} cannot be a {type(value).__name__}")


def _retry(timeout_s: float) -> Retry:
    from google.cloud.bigquery import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=0.2, maximum=3.0, multiplier=2.0).with_timeout(timeout_s)


def _connect(project: str | None) -> Client:
    from google.cloud import bigquery

    host = os.environ.get("BIGQUERY_EMULATOR_HOST")
    if not host and os.environ.get("FIRESTORE_EMULATOR_HOST"):
        raise Unavailable("no BigQuery: the emulators run without it (`make setup` installs it)")
    if not host:
        return bigquery.Client(project=project)
    from google.auth.credentials import AnonymousCredentials

    endpoint = host if "://" in host else f"http://{host}"
    return bigquery.Client(
        project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
    )


def _failures() -> tuple[type[Exception], ...]:
    import requests
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return (GoogleAPIError, GoogleAuthError, requests.RequestException, OSError, ValueError)


def _describe(problem: Exception) -> str:
    return f"{type(problem).__name__}: {str(problem)[:300]}"
