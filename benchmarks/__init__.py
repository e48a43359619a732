"""Benchmarks of smoothcert; `python -m benchmarks` runs them all. See README.md."""
