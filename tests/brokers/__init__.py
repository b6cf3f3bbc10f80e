"""The bridge on other brokers than the mosquitto it ships: `make test-brokers`."""
