"""Which options are on a future, by the name of what they are on. A future may have any price, one below 0 too."""

import re

from stopline.model.instrument import Instrument

_CONTRACT_CODE = re.compile(  # ESZ6, 6EH27, GCZ2026, ESZ6.CME: root, month, year, exchange
    r"[A-Z0-9]{1,4}[FGHJKMNQUVXZ]([0-9]{1,2}|[0-9]{4})(\.[A-Z]+)?"
)
_YEARS_LATER = 5  # that a future may end after an option on it: mid-curve options on rates
_INDICES = frozenset((  # whose names look like a contract's
    "AEX25", "ASX20", "ASX50", "ATX20", "CHN50", "DAX30", "DAX40", "ESTX50", "EU50",
    "EUSTX50", "HK33", "HK50", "IBEX35", "IDX30", "LQ45", "MDAX50", "OBX25", "OMX30",
    "OMXH25", "PX50", "SDAX70", "STOXX50", "TSX60", "WIG20", "WIG30",
))  # fmt: skip


def is_on_future(option: Instrument) -> bool:
    """Tell whether the underlying of an option has a future's symbol, of a year in which it ends or soon after."""
    code = _CONTRACT_CODE.fullmatch(option.underlying)
    if code is None or option.expiry is None or option.underlying in _INDICES:
        return False
    years = range(option.expiry.year, option.expiry.year + _YEARS_LATER + 1)
    return any(str(year).endswith(code[1]) for year in years)
