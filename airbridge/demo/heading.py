"""The line above a part of the screen [core].

Only the terminal's own colours are used, and dim, so that it reads on light and on dark ground.
"""

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text


def heading(title: str, right: str = "") -> RenderableType:
    """A line with a title in it."""
    text = Text.assemble((title, "bold"), (f"  {right}" if right else "", "dim"))
    return Rule(text, align="left", style="dim", characters="─")
