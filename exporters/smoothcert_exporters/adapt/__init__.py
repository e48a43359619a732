"""Changes to a graph that leave its function as it is: a free batch axis, one output, fewer operators, other types."""
