"""What was done, by whom, in chains that show a gap."""
