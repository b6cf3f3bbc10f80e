"""Runs `airbridge` and `python -m airbridge`."""

import sys


def main() -> None:
    """Run the command; ends the process."""
    try:
        from airbridge.command import app  # noqa: PLC0415  the extra may not be installed
    except ModuleNotFoundError as missing:
        sys.exit(f"airbridge needs {missing.name}: pip install 'ksem-airbridge[tools]'")
    app()


if __name__ == "__main__":
    main()
