"""Numbers in, numbers out: confidence bounds, laws of parameters, and the theorems on pairs of laws."""
