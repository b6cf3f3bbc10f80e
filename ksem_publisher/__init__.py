"""The meter's side: takes a KSEM's pushes, polls what they lack, publishes register blocks over MQTT."""
