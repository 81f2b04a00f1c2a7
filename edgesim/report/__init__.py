"""Reports: what people see of a run."""
