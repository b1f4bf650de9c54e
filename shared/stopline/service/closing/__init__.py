"""Closings and reductions carried through until fills prove them."""
