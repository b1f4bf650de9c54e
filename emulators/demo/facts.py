"""Daily prices of the S&P 500 and of the VIX around 5 February 2018, when the VIX doubled in a day.

Facts as the index providers published them. Of the minutes within a day nothing is known here: see `bridge`.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of an index, in points."""

    open: float
    high: float
    low: float
    close: float


SPX = {
    date(2018, 1, 29): Bar(2867.23, 2870.62, 2851.48, 2853.53),
    date(2018, 1, 30): Bar(2832.74, 2837.75, 2818.27, 2822.43),
    date(2018, 1, 31): Bar(2832.41, 2839.26, 2813.04, 2823.81),
    date(2018, 2, 1): Bar(2816.45, 2835.96, 2812.70, 2821.98),
    date(2018, 2, 2): Bar(2808.92, 2808.92, 2759.97, 2762.13),
    date(2018, 2, 5): Bar(2741.06, 2763.39, 2638.17, 2648.94),
    date(2018, 2, 6): Bar(2614.78, 2701.04, 2593.07, 2695.14),
    date(2018, 2, 7): Bar(2690.95, 2727.67, 2681.33, 2681.66),
    date(2018, 2, 8): Bar(2685.01, 2685.27, 2580.56, 2581.00),
    date(2018, 2, 9): Bar(2601.78, 2638.67, 2532.69, 2619.55),
}

VIX = {
    date(2018, 1, 29): Bar(11.71, 13.84, 11.68, 13.84),
    date(2018, 1, 30): Bar(13.93, 15.42, 13.88, 14.79),
    date(2018, 1, 31): Bar(14.23, 14.44, 13.41, 13.54),
    date(2018, 2, 1): Bar(13.05, 14.30, 12.50, 13.47),
    date(2018, 2, 2): Bar(13.64, 17.86, 13.64, 17.31),
    date(2018, 2, 5): Bar(18.44, 38.80, 16.80, 37.32),
    date(2018, 2, 6): Bar(37.32, 50.30, 22.42, 29.98),
    date(2018, 2, 7): Bar(31.38, 31.64, 21.17, 27.73),
    date(2018, 2, 8): Bar(27.29, 36.17, 24.41, 33.46),
    date(2018, 2, 9): Bar(32.18, 41.06, 27.73, 29.06),
}
