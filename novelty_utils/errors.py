"""What the whole package raises where the user's input is at fault."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used: one line that names the value, what is allowed and what to do."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for this: a notebook shows the line, not the stack
        return [f"{type(self).__name__}: {self}"]
