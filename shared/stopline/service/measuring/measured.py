"""The measures document of an account: what the sweep last worked out, and which notices stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson

from stopline.model.errors import Transient
from stopline.model.times import utc_text
from stopline.ports import Clock, Data, Store
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """`shown`: the measures for people, numbers as text, None where UNKNOWN. `inputs`: what they were worked out from;
    the same inputs are not worked out again at once. `standing`: notices that people were told of, and since when.
    `ended`: the last session whose end was noted. `kept_at`: when the metric history got a row.
    """

    account: str
    as_of: datetime
    revision: int = 0
    inputs: str = ""
    standing: Mapping[str, str] = field(default_factory=dict)
    ended: date | None = None
    kept_at: datetime | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


class MeasuredCodec:
    """Measures as the fields of their document."""

    collection = "measures"

    def encode(self, state: Measured) -> Data:
        body = {
            "schema": SCHEMA,
            "revision": state.revision,
            "inputs": state.inputs,
            "standing": dict(state.standing),
            "ended": state.ended.isoformat() if state.ended else None,
            "kept_at": utc_text(state.kept_at) if state.kept_at else None,
            "shown": dict(state.shown),
        }
        return {"account": state.account, "as_of": state.as_of, "state": orjson.dumps(body).decode()}

    def decode(self, data: Data) -> Measured:
        body = orjson.loads(data["state"])
        if body["schema"] > SCHEMA:
            raise Transient(
                f"measures/{data['account']} has schema {body['schema']}, this version writes {SCHEMA}"
            )
        return Measured(
            account=data["account"],
            as_of=data["as_of"].astimezone(UTC),
            revision=body["revision"],
            inputs=body["inputs"],
            standing=body["standing"],
            ended=date.fromisoformat(body["ended"]) if body["ended"] else None,
            kept_at=datetime.fromisoformat(body["kept_at"]) if body["kept_at"] else None,
            shown=body["shown"],
        )


def measured_states(store: Store, relay: Relay, clock: Clock) -> Aggregates[Measured]:
    """Return access to all measures documents."""
    return Aggregates(store, relay, clock, MeasuredCodec())
