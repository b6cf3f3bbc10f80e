"""Reads what an inverter believes of its meter, and compares it with what was measured."""
