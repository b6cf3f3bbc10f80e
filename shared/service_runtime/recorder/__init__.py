"""Records wire traffic in memory, and writes it to a file after a fault or on request."""
