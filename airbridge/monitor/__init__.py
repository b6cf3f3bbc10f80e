"""`airbridge monitor`: shows the bridge in the terminal of any host, from MQTT alone."""
