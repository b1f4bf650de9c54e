"""Fills, statements and changes by hand into books; what is refused, and brought back."""
