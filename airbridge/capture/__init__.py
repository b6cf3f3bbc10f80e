"""`airbridge capture`: what the KSEM writes, what the inverter asks, in a file."""
