"""A stand-in serves the library that wanted the module, and nobody else."""

import subprocess
import sys

LIKE_PAHO = """
import sys
from service_runtime.spared_imports import stand_in
with stand_in("urllib.request", getproxies=dict, proxy_bypass=lambda host: False):
    import urllib.request
    assert urllib.request.getproxies() == {}
assert "http.client" not in sys.modules
import urllib.request
assert urllib.request.urlopen
with stand_in("urllib.request"):
    import urllib.request
    assert urllib.request.urlopen
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_who_imports_the_module_meanwhile_gets_the_stand_in_and_who_does_later_the_real_one() -> None:
    run(LIKE_PAHO)


def test_the_link_to_the_broker_loads_no_http_client() -> None:
    code = "import sys, service_runtime.mqtt_link; print('http.client' in sys.modules, 'asyncio' in sys.modules)"
    assert run(code) == "False False\n"
