"""What has to go, the commands that close it, and what became of them."""
