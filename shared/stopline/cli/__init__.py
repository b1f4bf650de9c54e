"""The `stopline` command: thin click commands over functions that tests call."""
