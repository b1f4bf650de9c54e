"""How every writer commits: compare-and-set, outbox, group commit."""
