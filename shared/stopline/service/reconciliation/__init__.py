"""Books against brokers, and against their own fills."""
