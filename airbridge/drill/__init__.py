"""`airbridge drill`: withholds data from the inverter for some seconds, and reports what it does."""
