"""Unplugs the chain at one place, and reconnects it [shell]."""

from airbridge.demo.chain import Chain


class Unplug:
    """What is pulled, of what can be."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.pulled: set[str] = set()

    @property
    def possible(self) -> dict[str, bool]:
        """What can be pulled here: a real end is pulled by hand."""
        return {
            "push": self._chain.ksem is not None,
            "broker": self._chain.broker is not None,
            "plug": self._chain.line is not None,
            "meter": self._chain.ksem is not None,
        }

    def toggle(self, what: str) -> bool:
        """Pull `what`, or put it back. Returns whether it is pulled now."""
        chain = self._chain
        self.pulled ^= {what}
        is_pulled = what in self.pulled
        if what == "broker" and chain.broker is not None:
            if is_pulled:
                chain.broker.stop()
            else:
                chain.broker.start()
        elif what == "plug":
            chain.request(chain.line, "unplug" if is_pulled else "plug", end="server")
        else:
            meter_is_there = "meter" not in self.pulled
            chain.request(chain.ksem, "push", enabled=meter_is_there and "push" not in self.pulled)
            if what == "meter":
                chain.request(chain.ksem, "poll", open=meter_is_there)
                if not meter_is_there:
                    chain.request(chain.ksem, "drop-connections")
        return is_pulled
