"""Replay: a past day out of CSV files through the very services that run in production, in one process.

tables reads files, instruments and rows give their rows a meaning, engine moves the clock, result is what
came of it.
"""
