"""Exact accounting in Decimal: lots, positions, books. Values in, values out."""
