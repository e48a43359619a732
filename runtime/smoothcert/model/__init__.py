"""The base classifier: the file, what it says of itself, and the sessions that run it."""
