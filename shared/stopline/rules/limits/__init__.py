"""Figures of an account, limits on them, and what people are told when a level changes."""
