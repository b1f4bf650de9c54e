"""Emergency reductions: which trades to close, in which order, how far, and when by themselves."""
