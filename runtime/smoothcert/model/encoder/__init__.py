"""An encoder's graph, read as real arithmetic that bounds can be computed of."""
