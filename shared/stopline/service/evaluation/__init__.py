"""One account valued: its figures, limits, trades and options at one moment."""
