"""The trading state: what changes it, what trips it, what it takes to go on."""
