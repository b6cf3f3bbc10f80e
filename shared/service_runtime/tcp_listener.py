"""Opens a TCP port to listen on [shell]."""

import socket


def open_listener(address: str, port: int, backlog: int) -> socket.socket:
    """A non-blocking socket that listens on `address`. The wildcard of IPv6 serves IPv4 clients, too.

    OSError where that fails, also for what can't be a host name.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    both = family == socket.AF_INET6 and _is_any(address) and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((address, port), family=family, backlog=backlog, dualstack_ipv6=both)
    except UnicodeError as error:  # the codec for host names raises it
        raise OSError(f"no host name: {error}") from error
    listener.setblocking(False)
    return listener


def _is_any(address: str) -> bool:
    try:
        return not any(socket.inet_pton(socket.AF_INET6, address))
    except OSError:
        return False
