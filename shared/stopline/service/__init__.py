"""Use cases over ports: each module is one thing that Stopline does."""
