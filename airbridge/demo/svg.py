"""The screen as a picture for documents [shell]."""

import io
import re
from pathlib import Path
from typing import Final

from rich.console import Console

from airbridge.demo.picture import Picture
from airbridge.demo.view import screen
from service_runtime.clock import boottime

SIZE: Final = (104, 30)
_font_faces = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def write_svg(path: Path, picture: Picture, broker: str, can_pull: dict[str, bool]) -> None:
    """Write the screen as it is now. It loads nothing from elsewhere: the reader's own monospace font is used."""
    width, height = SIZE
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    drawn = screen(
        picture,
        boottime(),
        width=width,
        height=height,
        broker=broker,
        can_pull=can_pull,
        left=None,
    )
    console.print(drawn)
    text = console.export_svg(title="airbridge demo")
    text = _font_faces.sub("", text).replace("Fira Code, monospace", "monospace")
    text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # else some viewers eat the spaces at an edge
    path.write_text(text, encoding="utf-8")
