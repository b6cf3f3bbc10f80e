"""How a service of this project runs: settings, command line, logs, systemd, the link to the broker."""
