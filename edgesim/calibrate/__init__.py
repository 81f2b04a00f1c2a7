"""Calibration: from measurements of real engines to cost models that scenarios can name."""
