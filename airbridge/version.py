"""Which version of the bridge this is."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed


def version() -> str:
    """The installed version; "unknown" where the code runs from a folder that was never installed."""
    try:
        return _installed("ksem-airbridge")
    except PackageNotFoundError:
        return "unknown"
