"""Exits watched, stored, shown and changed."""
