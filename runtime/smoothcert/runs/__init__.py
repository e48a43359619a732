"""Runs on disk: made, resumed, opened again, decided again, verified."""
