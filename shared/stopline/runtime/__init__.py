"""Glue between functions-framework and the use cases: decode, error -> status, settings, logs, auth."""
