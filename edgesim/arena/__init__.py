"""The arena: rows of integer state that one compiled kernel and one readable twin both work on."""
