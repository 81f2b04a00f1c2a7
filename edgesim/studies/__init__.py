"""Studies: from runs to answers."""
