"""Host names that a test moves, for one Python process: the JSON file MOVING_NAMES says which address each name means.

Python imports this by itself where this folder is in PYTHONPATH.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any

_file = Path(os.environ["MOVING_NAMES"])
_getaddrinfo = socket.getaddrinfo


def _look_up(host: Any, *arguments: Any, **options: Any) -> Any:
    return _getaddrinfo(json.loads(_file.read_text()).get(host, host), *arguments, **options)


socket.getaddrinfo = _look_up
