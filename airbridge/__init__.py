"""The operator's command: shows the bridge, examines it and records both of its ends."""
