"""The runtime of this project's services: settings, command line, logs, systemd, the link to the broker."""
