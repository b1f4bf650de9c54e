"""Make shared/stopline/model/calendars.json from the exchange-calendars package, which only this tool needs.

Run: python tools/make_calendars.py > shared/stopline/model/calendars.json
"""

import json
from datetime import date, time
from typing import Any

import exchange_calendars

FIRST = "2010-01-01"
# our name -> exchange-calendars name, evening roll, last date whose holidays are published, and the daily close
# where the package has none: it lets a CME session last until the next begins, the exchange rests from 16:00 to 17:00
MARKETS = {
    "XNYS": ("XNYS", "", "2029-12-31", ""),
    "XNSE": ("XBOM", "", "2026-12-31", ""),
    "CMES": ("CMES", "17:00", "2029-12-31", "16:00"),
    "XLON": ("XLON", "", "2029-12-31", ""),
    "XEUR": ("XEUR", "", "2029-12-31", ""),
}


def facts(name: str, roll: str, last_date: str, close: str) -> dict[str, Any]:
    """Reduce one exchange calendar to zone, hours, weekday holidays and early closes."""
    source = exchange_calendars.get_calendar(name, start=FIRST, end=last_date)
    zone = source.tz
    sessions = {day.date() for day in source.sessions}
    first, last = min(sessions), max(sessions)
    days = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
    closes = {day.date(): close.tz_convert(zone).time() for day, close in source.closes.items()}
    opens = [open_.tz_convert(zone).time() for open_ in source.opens]
    usual = max(set(closes.values()), key=list(closes.values()).count)
    regular = time.fromisoformat(close) if close else usual
    return {
        "zone": str(zone),
        "opens": roll or clock(max(set(opens), key=opens.count)),
        "closes": clock(regular),
        "roll": roll,
        "every_day": False,
        "through": last_date,
        "holidays": [d.isoformat() for d in days if d.weekday() < 5 and d not in sessions],
        "early_closes": {d.isoformat(): clock(t) for d, t in closes.items() if t < regular},
    }


def clock(moment: time) -> str:
    return moment.strftime("%H:%M")


if __name__ == "__main__":
    always = {
        "opens": "00:00",
        "closes": "00:00",
        "roll": "",
        "every_day": True,
        "through": "9999-12-31",
        "holidays": [],
        "early_closes": {},
    }
    table = {ours: facts(*market) for ours, market in MARKETS.items()}
    table["24/7"] = {"zone": "UTC", **always}
    print(json.dumps(table, separators=(",", ":")).replace('},"', '},\n"'))
