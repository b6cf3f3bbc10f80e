"""Simulates a Plenticore: sends requests like the inverter, and judges every answer."""
