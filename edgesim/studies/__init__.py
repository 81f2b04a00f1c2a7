"""Studies: many runs, one answer."""
