"""A past trading day through the whole of Stopline, on this machine: `make demo`."""
