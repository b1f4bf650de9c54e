"""What stands, whom it is told, in which words, and what follows when a channel fails."""
