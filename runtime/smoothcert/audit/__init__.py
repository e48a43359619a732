"""Attacks inside the certified sets of a run, replayed through the real pipeline."""
