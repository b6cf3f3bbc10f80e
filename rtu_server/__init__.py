"""The inverter's side: keeps the meter's register blocks from MQTT and answers the inverter on RS485."""
