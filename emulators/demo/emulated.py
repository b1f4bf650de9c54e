"""The demo on the emulators: each function in a server of its own, joined by Pub/Sub and Firestore."""

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from emulators.broker_link import PullLoop
from emulators.demo.backend import OPERATOR, Caller, DemoFailed, Told, discord_text, principals
from emulators.demo.questions import Question, arrived
from emulators.fakes import DiscordFake, Mail, Request, SmtpFake, TwilioFake
from emulators.paper_broker import PaperBroker
from emulators.stack import Stack
from stopline.adapters.clock import ReplayClock
from stopline.model.fill import Fill
from stopline.model.messages import ExecutionReport
from stopline.runtime.app import App
from stopline.runtime.ports import Ports

PATIENCE_S = 30.0  # for one thing to happen; a machine that is slower than this is told so
EVERY_S = 0.005  # each look costs the emulators as much as a step of the work: the longer it takes, the fewer
SENDER = "+14155550199"


class EmulatedBackend:
    """The stack, the fakes that stand in for Twilio, Discord and the mail server, and the day's clock."""

    history_name = "BigQuery (its emulator)"

    def __init__(self, start: datetime) -> None:
        """Start everything; what was started is ended again if a part does not come up."""
        self.logs = Path(tempfile.mkdtemp(prefix="stopline-demo-"))
        self._clock = ReplayClock(self.logs / "clock")
        self._clock.set(start)
        self._environment = dict(os.environ)
        self._usual: dict[str, float] = {}  # seconds that things take, by what is waited for
        self._open = ExitStack()
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._twilio = self._open.enter_context(TwilioFake())
            self._discord = self._open.enter_context(DiscordFake())
            self._smtp = self._open.enter_context(SmtpFake())
            self._stack = self._open.enter_context(Stack(logs=self.logs))
            token = secrets.token_urlsafe(24)
            with ThreadPoolExecutor(1) as pool:
                clients = pool.submit(_import_clients)  # takes seconds: while the emulators start
                self._stack.up(settings=self._settings(token))
                clients.result()
            os.environ.update({**self._stack.env, "NO_PROXY": "127.0.0.1,localhost"})
            self._caller = Caller(token)
            self._open.callback(self._caller.close)
            self.app = self._app()
            undo.pop_all()

    def set_time(self, moment: datetime) -> None:
        self._clock.set(moment)

    def connect(self, broker: PaperBroker, publish: Callable[[Fill | ExecutionReport], object]) -> None:
        host = self._stack.emulators.pubsub_host
        loop = PullLoop(broker, host, self._stack.project, self._clock, publish)
        self._open.callback(loop.close)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Look first when it may be done: that leaves the machine to those who do it."""
        started = time.monotonic()
        usual = self._usual.get(what, 0.0)
        time.sleep(0.5 * usual)
        while not condition():
            if time.monotonic() > started + PATIENCE_S:
                raise DemoFailed(f"{what} did not happen within {PATIENCE_S:g} s{self._last_error()}")
            time.sleep(max(EVERY_S, (time.monotonic() - started) / 10))
        self._usual[what] = 0.8 * usual + 0.2 * (time.monotonic() - started)

    def call(self, method: str, function: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._caller.call(method, self._stack.urls[function] + path, body)

    def told(self) -> list[Told]:
        arrived: list[tuple[datetime, Told]] = [
            *((one.at, _sms(one)) for one in self._twilio.accepted),
            *((one.at, _mail(one)) for one in self._smtp.accepted),
            *(
                (one.at, Told("discord", "webhook", "", discord_text(one.form)))
                for one in self._discord.accepted
            ),
        ]
        return [told for _, told in sorted(arrived, key=lambda pair: pair[0])]

    def ask(self, question: Question) -> list[dict[str, Any]]:
        from stopline.adapters.bigquery import BigQueryHistory

        if not hasattr(self, "_history"):
            self._history = BigQueryHistory(self._stack.topology.dataset, self._stack.project)
            self._open.callback(self._history.close)
        return self._history.query(question.sql, question.parameters)

    def kept(self, account: str, fills: int, snapshots: int) -> bool:
        (row,) = self.ask(arrived(account))
        return bool(row["fills"] == fills and row["snapshots"] >= snapshots and row["flat"])

    def stop(self) -> None:
        self._open.close()
        os.environ.clear()
        os.environ.update(self._environment)

    def forget_logs(self) -> None:
        """Remove the logs: nobody needs those of a demo that went well."""
        shutil.rmtree(self.logs, ignore_errors=True)

    def _last_error(self) -> str:
        """Return what a function said last about a fault, from its log."""
        for log in sorted(self.logs.glob("*.log")):
            faults = [line for line in log.read_text(errors="replace").splitlines() if '"ERROR"' in line]
            if faults:
                record = json.loads(faults[-1])
                lines = str(record.get("exception") or record.get("message", "")).splitlines()
                return f"; the function {log.stem} says: {lines[-1] if lines else faults[-1]}"
        return ""

    def _app(self) -> App:
        from stopline.adapters.firestore import FirestoreStore
        from stopline.adapters.pubsub import PubSubBus

        store, bus = FirestoreStore(self._stack.project), PubSubBus(self._stack.project)
        self._open.callback(bus.close)
        return App(Ports(store, bus, self._clock))

    def _settings(self, token: str) -> dict[str, str]:
        return {
            "STOPLINE_CLOCK_FILE": str(self.logs / "clock"),
            "STOPLINE_PRINCIPALS": json.dumps(principals(token)),
            "STOPLINE_OPERATOR": OPERATOR.model_dump_json(),
            "TWILIO_ACCOUNT_SID": self._twilio.account,
            "TWILIO_AUTH_TOKEN": self._twilio.token,
            "TWILIO_FROM": SENDER,
            "STOPLINE_TWILIO_URL": self._twilio.url,
            "SMTP_HOST": self._smtp.host,
            "SMTP_PORT": str(self._smtp.port),
            "SMTP_FROM": "stopline@example.com",
            "SMTP_STARTTLS": "0",
            "STOPLINE_DISCORD_URL": self._discord.url,
        }


def _import_clients() -> None:
    import google.cloud.bigquery
    import google.cloud.firestore
    import google.pubsub_v1  # noqa: F401


def _sms(request: Request) -> Told:
    return Told("sms", str(request.form["To"]), "", str(request.form["Body"]))


def _mail(mail: Mail) -> Told:
    text = mail.message.get_body(("plain",))
    content = "" if text is None else str(text.get_content())
    return Told("email", ", ".join(mail.recipients), str(mail.message["Subject"]), content)
