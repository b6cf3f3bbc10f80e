"""`airbridge monitor`: how the bridge is, in the terminal, from any host, from MQTT alone."""
