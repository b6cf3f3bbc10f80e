"""Home Assistant's app: starts the services by the app's options, and keeps them running."""
