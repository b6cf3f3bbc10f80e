"""What can be wrong with something that came over the contract."""


class ContractError(ValueError):
    """Anything that breaks the contract."""


class InvalidMessage(ContractError):
    """A message that must not be used; the text names the field, what it held and what is allowed."""


class UnknownVersion(InvalidMessage):
    """A message of a version of the contract that this code does not know."""

    def __init__(self, version: object) -> None:
        super().__init__(f"v is {version!r:.40}, this side knows version 1 only")
        self.version = version


class SunspecError(ContractError):
    """What stands at 40000 is no chain of SunSpec models that can be served."""
