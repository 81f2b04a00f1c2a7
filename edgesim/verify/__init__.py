"""Verification: the simulator against queueing theory, exact arithmetic, its twin and its own books."""
