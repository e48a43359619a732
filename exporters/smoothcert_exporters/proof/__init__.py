"""Whether two graphs, or a graph and a framework, compute the same."""
