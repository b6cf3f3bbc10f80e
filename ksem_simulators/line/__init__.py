"""Simulates an RS485 line: joins two ptys at the true speed of a serial bus, with its faults."""
