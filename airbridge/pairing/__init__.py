"""`airbridge pair`: one line carries all that the inverter's host needs to reach the broker and check messages."""
