"""`airbridge drill`: withhold data from the inverter for some seconds, and report what it does."""
