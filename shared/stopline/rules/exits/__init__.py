"""Stops, targets and trails of trades and strategies, and how healthy a trade is."""
