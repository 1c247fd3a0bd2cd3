"""What the whole package raises where the user's input is at fault, and text from outside made fit to be told."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """Something the user gave cannot be used: one line that names the value, what is allowed and what to do."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for this: a notebook shows the line, not the stack
        return [f"{type(self).__name__}: {self}"]


def shown(value: Any) -> str:
    """A value as a line about it may repeat it."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:80]}...{text[-20:]}"


def visible(text: object) -> str:
    """Text from outside, such as the name of a file, with every character that cannot be seen spelled out: no line
    break, no command to a terminal, no byte that is not UTF-8."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in str(text))
