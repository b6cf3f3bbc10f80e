"""`airbridge capture`: records the KSEM's writes and the inverter's requests in a file."""
