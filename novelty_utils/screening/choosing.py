"""A detector by the name and the parameters that a user types."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from novelty_utils import detectors
from novelty_utils.detectors import Detector
from novelty_utils.errors import InputError

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")  # as it is written, so that 08, 1_000 and 1.0 are no whole numbers
NUMBER = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def choose(name: str, text: Mapping[str, str]) -> Detector:
    """The detector of this name, unfitted, with parameters as they are typed.

    name: of a class (`ICS`, `k-nn`), of a notebook with one class or with one of that name (`ade_gan`, `ics`), or of
    both (`nln.AE`); capitals, dashes and underscores do not count.
    Raises InputError, one line that lists what there is.
    """
    kind = _kind(name)
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    unknown = [word for word in text if word not in fields]
    if unknown:
        raise InputError(f"{kind.__name__} has no parameter {unknown[0]!r}: choose from {', '.join(fields)}")
    values: dict[str, Any] = {word: _value(typed) for word, typed in text.items()}
    return kind(**values)


def _kind(name: str) -> type[Detector]:
    notebook, _, word = name.rpartition(".")
    asked = [one for one in detectors.names() if _bare(one) == _bare(notebook or name)]
    for of_notebook in asked:
        for own, kind in detectors.kinds(of_notebook).items():
            if _bare(own) == _bare(word) or (not notebook and len(detectors.kinds(of_notebook)) == 1):
                return kind
    there = {one: detectors.kinds(one) for one in detectors.names()}
    found = [] if notebook else [(one, own) for one in there for own in there[one] if _bare(own) == _bare(name)]
    if len(found) == 1:
        return there[found[0][0]][found[0][1]]
    if found:
        told = "names several: choose " + " or ".join(f"{one}.{own}" for one, own in found)
    elif asked and there[asked[0]]:
        told = f"is not one detector: choose {' or '.join(f'{asked[0]}.{own}' for own in there[asked[0]])}"
    else:
        told = "is not known: choose from " + "; ".join(f"{', '.join(of)} ({one})" for one, of in there.items() if of)
    raise InputError(f"detector {name!r} {told}")


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _value(typed: str) -> int | float | str:
    """A number where it is written as one; whether the parameter takes it, the detector says."""
    if INTEGER.fullmatch(typed) and len(typed) < 20:
        return int(typed)
    if NUMBER.fullmatch(typed) and not INTEGER.fullmatch(typed) and math.isfinite(float(typed)):
        return float(typed) + 0.0  # without the minus of -0.0
    return typed
