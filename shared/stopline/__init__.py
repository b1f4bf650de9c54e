"""Stopline: the risk desk for people who trade their own money or run a small prop desk."""

__version__ = "0.1.0"
