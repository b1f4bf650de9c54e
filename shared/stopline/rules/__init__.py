"""Decisions: limits, levels, closings, routing. Pure functions of values."""
