"""How the operator wants to be told of what belongs to no account: as accounts say it, in a zone of the operator's own."""

from stopline.model.settings.alerts import AlertSettings
from stopline.model.zones import ZoneName


class OperatorAlerts(AlertSettings):
    """Routes, people, quiet hours and escalation of the operator; hours and times are those of `time_zone`."""

    time_zone: ZoneName = "UTC"
