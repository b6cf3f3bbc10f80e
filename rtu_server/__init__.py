"""The inverter's side: receives the meter's register blocks over MQTT and answers the inverter on RS485."""
