"""Imports of a library that we never use, kept out of memory [shell].

paho imports urllib.request to look for a web proxy where PySocks is installed; with it come http.client and email:
1.7 MB of the 30 MB that rtu_server may take, on a host with 512. A proxy for web pages would be wrong for a broker in
the house anyway.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def stand_in(name: str, **attributes: object) -> Iterator[None]:
    """While this lasts, `import name` (of a package's submodule) gives an empty module with these attributes.

    What is imported meanwhile keeps the stand-in; whoever imports `name` later gets the real one. Nothing happens
    where the real one is loaded already.
    """
    if name in sys.modules:
        yield
        return
    module = ModuleType(name, "A stand-in: see service_runtime.spared_imports.")
    module.__dict__.update(attributes)
    package, _, last = name.rpartition(".")
    parent = __import__(package)
    sys.modules[name] = module
    setattr(parent, last, module)
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]
