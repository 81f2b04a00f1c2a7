"""How fast the engine is; run a module with `python -m`."""
