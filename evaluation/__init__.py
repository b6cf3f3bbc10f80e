"""What the bridge is worth: a house with PV and battery, steered by each feed of the meter's values in turn."""
