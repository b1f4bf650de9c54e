"""The HTTP functions as an adapter reaches them: instances that answer, fail or die."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from emulators.simulator.world import Crash, Instance, World
from stopline.model.errors import Rejected, Transient
from stopline.model.lease import LeaseRequest
from stopline.model.wire import canonical, decode_object, validate
from stopline.runtime.app import App


class SimApi:
    """Answers for leases of one account."""

    def __init__(
        self, world: World, account: str, make: Callable[[Instance], App], skews: list[timedelta]
    ) -> None:
        self._world = world
        self._account = account
        self.instances = world.instances["api"]
        for number, skew in enumerate(skews):
            self.instances.append(Instance(f"api-{number}", make, skew))
            self.instances[-1].boot()

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer by an instance that is free, sooner or later; one that dies answers nothing."""
        instance = next((one for one in self.instances if not one.busy), None)
        if instance is None:
            return 503, {}
        instance.busy = True
        app: App = instance.app
        try:
            account = app.accounts.require(self._account)
            lease = app.leases.grant(account, validate(LeaseRequest, dict(body)))
            answer = decode_object(canonical(lease.model_dump(mode="json")))
            self._world.dawdle()
            return 200, answer
        except Rejected as refused:
            return 423, {"title": refused.reason, "detail": refused.detail}
        except Transient:
            return 503, {}
        except Crash as crash:
            instance.boot()
            raise ConnectionResetError("the instance died") from crash
        finally:
            instance.busy = False
