"""Everything measured ahead of certifying: calibration files."""
