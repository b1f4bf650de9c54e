"""The ports that a simulated instance sees: memory, behind the world's faults."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from emulators.simulator.world import Instance, World
from stopline.adapters.memory import matching
from stopline.model.messages import Alert, HistoryRow
from stopline.model.wire import content_hash
from stopline.ports import (
    ChannelBusy,
    Document,
    Kept,
    Outgoing,
    Path,
    Receipt,
    RowFault,
    Unavailable,
    Version,
    Where,
    Write,
)
from stopline.rules.alerting.around import ALONE, Around


class SimStore:
    """The one store, seen by one instance."""

    def __init__(self, world: World, instance: Instance) -> None:
        self._world = world
        self._instance = instance

    def get(self, path: Path) -> Document | None:
        return self._world.effect(self._instance, "store.get", self._world.store.get, path)

    def get_all(self, paths: Sequence[Path]) -> list[Document | None]:
        return self._world.effect(self._instance, "store.get", self._world.store.get_all, paths)

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Document]:
        query = self._world.store.query
        return self._world.effect(self._instance, "store.query", query, collection, where, order_by, limit)

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        return self._world.effect(self._instance, "store.commit", self._commit, writes)

    def _commit(self, writes: Sequence[Write]) -> list[Version]:
        versions = self._world.store.commit(writes)
        for watcher in self._world.watchers:
            watcher("committed", writes)
        return versions


class SimBus:
    """Publishing by one instance, as Pub/Sub's adapter does it: a topic and key that fails holds up no other of the call,
    and what is out all the same is told.
    """

    def __init__(self, world: World, instance: Instance) -> None:
        self._world = world
        self._instance = instance

    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        ids: dict[int, str] = {}
        failed: dict[tuple[str, str], str] = {}
        for index, message in enumerate(messages):
            if (message.topic, message.key) in failed:
                continue
            if self._world.is_deaf(message.topic):
                failed[message.topic, message.key] = f"{message.topic} takes nothing"
                continue
            try:
                ids[index] = self._world.effect(self._instance, "bus.publish", self._world.accept, message)
            except Unavailable as problem:  # its text: with its frames the whole schedule would live on
                failed[message.topic, message.key] = str(problem)
        if failed:
            raise Unavailable(*failed.values(), published=ids)
        return list(ids.values())


class SimHistory:
    """Rows by table, appended at least once."""

    def __init__(
        self, world: World, instance: Instance, rows: dict[tuple[str, str], list[dict[str, Any]]]
    ) -> None:
        self._world = world
        self._instance = instance
        self._rows = rows

    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        def append() -> list[RowFault]:
            for row in rows:
                self._rows.setdefault((row.table, row.event_id), []).append(row.row)
            return []

        return self._world.effect(self._instance, "history.append", append)

    def read(self, table: str, where: Sequence[Where]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            found = [copies[-1] for (of, _), copies in self._rows.items() if of == table]
            return matching(table, found, where)

        return self._world.effect(self._instance, "history.read", read)

    def kept(self, table: str, where: Sequence[Where]) -> list[Kept]:
        def kept() -> list[Kept]:
            return [
                Kept(id_, len(copies), len({content_hash(copy) for copy in copies}))
                for (of, id_), copies in self._rows.items()
                if of == table and matching(table, copies[-1:], where)
            ]

        return self._world.effect(self._instance, "history.read", kept)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        raise Unavailable("the simulated history has no SQL")


class SimChannel:
    """A provider: `sent` is what people got; `doubt` counts the answers that were lost after a message was taken."""

    def __init__(
        self, world: World, instance: Instance, name: str, sent: list[tuple[str, str, str]], doubt: list[str]
    ) -> None:
        self.name = name
        self._world = world
        self._instance = instance
        self._sent = sent
        self._doubt = doubt

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        took = False

        def send() -> Receipt:
            nonlocal took
            took = True
            self._sent.append((alert.alert_id, self.name, address))
            return Receipt(f"{self.name}-{len(self._sent)}", "sent")

        try:
            return self._world.effect(self._instance, f"{self.name}.send", send)
        except Unavailable as problem:
            if took:
                self._doubt.append(alert.alert_id)
            raise ChannelBusy(str(problem)) from problem
        except BaseException:
            if took:
                self._doubt.append(alert.alert_id)
            raise


class SimClock:
    """The world's time, a little off."""

    def __init__(self, world: World, instance: Instance) -> None:
        self._world = world
        self._instance = instance

    def now(self) -> datetime:
        return self._world.now + self._instance.skew

    def ticks(self) -> float:
        return self._world.now.timestamp()

    def pause(self, attempt: int) -> None:
        self._world.now += timedelta(milliseconds=1)
