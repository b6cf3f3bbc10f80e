"""What goes wrong again and again, for minutes, with real processes: `make scenes`, and short in tests/faults."""
