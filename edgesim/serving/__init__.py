"""The fleet: replicas that serve LLMs, their kernel and its readable twin, and their coupling to SimPy."""
