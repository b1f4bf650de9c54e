"""Frozen value types and messages. No I/O, no clock, no google imports."""
