"""The version of the whole distribution; pyproject.toml takes it from here."""

VERSION = "0.1.0"
