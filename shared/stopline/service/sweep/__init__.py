"""The scheduled round, and what it looks for."""
