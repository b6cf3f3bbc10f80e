"""The app for Home Assistant: starts the services by the app's options, and keeps them running."""
