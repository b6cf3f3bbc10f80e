"""The operator's command: see the bridge run, record both of its ends."""
