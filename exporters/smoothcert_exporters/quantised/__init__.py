"""Classifiers of 8 bits: which operators, over which ranges, and how far they agree with the float32 ones."""
