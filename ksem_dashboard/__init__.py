"""Serves the web page and the metrics: a consumer like any other, which knows only the MQTT contract."""
