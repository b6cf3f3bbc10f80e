"""Reads an inverter's view of its meter, and compares it with the measurements."""
