"""The simulated RS485 line: two ptys joined at the true speed of a serial bus, and what can happen on it."""
