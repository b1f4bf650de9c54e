"""Alerts taken in and told."""
