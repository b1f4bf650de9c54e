"""Any other service by Apprise, an optional dependency: `pip install 'stopline[apprise]'`."""

from typing import Any

from stopline.adapters.deadline import READ_S
from stopline.model.messages import Alert, Severity
from stopline.ports import ChannelBusy, ChannelRefused, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.texts import email_parts


class AppriseChannel:
    """Sends alerts to Apprise URLs. Apprise tells no reason for a failure and no id for a success: a try that failed
    is tried again, and the receipt proves no more than that the service took it.
    """

    name = "apprise"

    def __init__(self, *, timeout_s: float = READ_S) -> None:
        self._timeout_s = timeout_s

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        """Send one message. Raises ChannelRefused where the URL is none of Apprise's, else ChannelBusy."""
        apprise = _package()
        service = self._service(apprise, address)
        subject, text, _ = email_parts(alert, zone, around)
        kind = getattr(apprise.NotifyType, "SUCCESS" if alert.resolved else _KIND[alert.severity])
        form = apprise.NotifyFormat.TEXT
        if not service.notify(body=text, title=subject, notify_type=kind, body_format=form):
            raise ChannelBusy("the service behind the Apprise URL did not take it: it may have been sent")
        return Receipt(f"apprise-{alert.alert_id[:32]}", "taken")

    def _service(self, apprise: Any, address: str) -> Any:
        limits = f"?cto={self._timeout_s:g}&rto={self._timeout_s:g}"  # connect and read time-outs; addresses have no query
        service = apprise.Apprise.instantiate(address + limits, suppress_exceptions=True)
        if service is None:
            raise ChannelRefused("the address is not an Apprise URL")
        return service


def _package() -> Any:
    try:
        import apprise
    except ImportError:
        raise ChannelRefused("the package apprise is not installed") from None
    return apprise


_KIND = {Severity.CRITICAL: "FAILURE", Severity.WARNING: "WARNING", Severity.INFO: "INFO"}
