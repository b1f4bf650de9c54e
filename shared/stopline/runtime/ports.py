"""What one instance stands on: the adapters behind the ports, and the settings that its use cases are built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.ports import Beacon, Bus, Channel, Clock, Each, History, Store, in_turn

if TYPE_CHECKING:
    from stopline.rules.alerting.ack_links import AckLinks


@dataclass(frozen=True)
class Ports:
    """The world of one instance. `operator` is told what belongs to no account, as `operator_alerts` says;
    `broker_secrets` are what brokers sign their messages with, by dialect. `resume_people`: how many must agree to resume
    the whole, and what a drawdown stopped.
    """

    store: Store
    bus: Bus
    clock: Clock
    history: History | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    operator: Recipients = field(default_factory=Recipients)
    operator_alerts: OperatorAlerts = field(default_factory=OperatorAlerts)
    broker_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    links: AckLinks | None = None  # to acknowledge alerts by
    beacon: Beacon | None = None  # the heartbeat that leaves the cloud
    resume_people: int = 2
    subscriptions: str = ""  # how the names of our push subscriptions begin; empty: any is taken
    database: str = ""  # its name, to know a restored one by; empty: not known
    each: Each = in_turn  # how a kill goes through many accounts
    looks: Each = in_turn  # and how a resume does, which no kill may wait for
    replayed: bool = False  # the clock tells a day that is played again, and not Pub/Sub's time
