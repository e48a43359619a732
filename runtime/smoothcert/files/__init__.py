"""Files that others may have made, and files of our own: bounded, typed, whole."""
