"""Prices, and what they say of the books."""
