"""Simulates the KOSTAL Smart Energy Meter G2: Modbus TCP server, pusher, a household day and fault switches."""
