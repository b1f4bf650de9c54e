"""What goes into BigQuery, and what is worked out from it."""
