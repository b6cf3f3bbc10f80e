import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from service_runtime.settings import load

_DOCS = Path(__file__).parents[3] / "docs"
_MODULE = runpy.run_path(str(_DOCS / "generate_settings.py"))


def test_docs_settings_md_is_what_the_settings_classes_say() -> None:
    page = _MODULE["render"]()
    assert (_DOCS / "settings.md").read_text(encoding="utf-8") == page, "run: python docs/generate_settings.py"


@pytest.mark.parametrize(("command", "file", "settings"), _MODULE["SERVICES"], ids=lambda one: str(one)[:20])
def test_the_variables_that_the_page_shows_are_understood(command: str, file: str, settings: type[Any]) -> None:
    shown = re.findall(r"^    (AIRBRIDGE_\w+)=(.*)$", _MODULE["render"](), re.MULTILINE)
    assert len(shown) == 4
    needed = {"AIRBRIDGE_LINE__0__PORT": "/dev/ttyUSB0", "AIRBRIDGE_INVERTER__0__HOST": "192.168.1.60"}
    load(settings, path=None, environ={**dict(shown), **needed})
