"""The typed, strict parameters of a run: one schema for notebook, papermill, command line and docs.

It imports neither torch nor pandas, so a wrong value is refused within a moment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from novelty_utils import classes
from novelty_utils.classes import CLASSES, DEFECT_CLASSES, class_names, defect_class_names
from novelty_utils.errors import InputError, shown
from novelty_utils.files import first_there, reachable, user_path

__all__ = ["CLASSES", "DEFECT_CLASSES", "Protocol", "RunParameters", "class_names", "defect_class_names", "several"]

# The protocols that every paper's notebook can run under; `protocols.split` makes the split of each.
Protocol = Literal["one_class", "simo", "miso", "outlier_share"]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]


def several(name: str, value: str, allowed: Sequence[str]) -> str:
    """A comma-separated choice, in the order of `allowed`, as A,B means B,A.

    Raises InputError, one line, where it names something else or one twice.
    """
    names = value.split(",")
    for one in names:
        if one not in allowed:
            raise InputError(f"{name}: {one!r} is not one of {', '.join(allowed)}; separate names by commas")
    if len(set(names)) < len(names):
        raise InputError(f"{name}={value!r} names a {name.removesuffix('s')} twice; name each once")
    return ",".join(one for one in allowed if one in names)


class RunParameters(BaseModel):
    """What every notebook takes; a paper adds its own fields in a subclass. Values are checked, never converted.

    What is equal is written in one way, as a record is found again by its parameters: 0 for -0, `folder:a` for
    `folder:./a/`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    classes_of = staticmethod(class_names)  # which data sets a paper knows

    dataset: str = Field(description=f"{', '.join(CLASSES)} or folder:PATH")
    class_name: Text = Field(description="the class in question: its name, its number, or all (every class in turn)")
    tier: Literal["smoke", "demo", "paper"] = Field(description="smoke (a minute), demo (minutes), paper (as printed)")
    seed: int = Field(ge=0, lt=2**31, description="seed of the training subset, the weights and the batches")
    device: Literal["auto", "cpu", "cuda"] = Field(description="where to train; auto takes a GPU if there is one")
    results: str = Field(min_length=1, description="folder that the record of this run is written to")

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        cls.classes_of(value)
        kind, colon, path = value.partition(":")
        return f"{kind}:{Path(path)}" if colon else value

    @field_validator("*")
    @classmethod
    def _without_a_minus(cls, value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value  # -0.0 becomes 0.0, and all others stay

    @model_validator(mode="after")
    def _known_class(self) -> RunParameters:
        self.labels()
        return self

    @field_validator("results")
    @classmethod
    def _folder(cls, value: str) -> str:
        with reachable("results", value):
            existing = first_there(user_path("results", value).absolute())
        if not existing.is_dir():
            raise InputError(f"results={value!r}: {existing} is a file; give a folder")
        if not os.access(existing, os.W_OK):
            raise InputError(f"results={value!r}: {existing} cannot be written to; give a folder that can")
        return str(user_path("results", value))  # a `~` spelled out, as in `folder:~/photos`

    def labels(self) -> tuple[int, ...]:
        """The labels meant by `class_name`: one, or every label for `all`."""
        lister = f"novelty_utils.params.{self.classes_of.__name__}({self.dataset!r})"
        return classes.meant(self.class_name, self.classes_of(self.dataset), self.dataset, lister)

    @model_validator(mode="before")
    @classmethod
    def _class_as_typed(cls, values: Any) -> Any:
        """Plain papermill and YAML make numbers of names: refuse where another name may be what was typed."""
        given = values.get("class_name", "")
        if isinstance(given, bool) or not isinstance(given, str | int):
            raise InputError(f"class_name={given!r}: give the name as text; with papermill write -r class_name NAME")
        if isinstance(given, int) and isinstance(values.get("dataset"), str):
            classes.refuse_ambiguous(given, cls.classes_of(values["dataset"]))
        return values

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> RunParameters:
        """Validate a namespace (a notebook's `globals()`): only the schema's names are looked at.

        Raises InputError, one line, if a value is missing, of the wrong type or not allowed.
        """
        with _one_line(cls):
            return cls.model_validate({name: values[name] for name in cls.model_fields if name in values})

    @classmethod
    def parse(cls, defaults: Mapping[str, Any], text: Mapping[str, str]) -> RunParameters:
        """Validate command-line text over the notebook's defaults; an unknown name is refused.

        Raises InputError, one line. `defaults` holds Python values, `text` the strings as typed.
        """
        unknown = [name for name in text if name not in cls.model_fields]
        if unknown:
            raise InputError(f"unknown parameter {unknown[0]!r}: choose from {', '.join(cls.model_fields)}")
        for name, value in text.items():
            cls._plain(name, value)
        words = {name: str(value) for name, value in defaults.items() if name in cls.model_fields} | dict(text)
        with _one_line(cls):
            return cls.model_validate_strings(words, strict=False)

    @classmethod
    def _plain(cls, name: str, text: str) -> None:
        """Refuse a number that Python would read and a person would not, such as 1_000, or 1.0 for a whole one."""
        kind = _kinds(cls).get(name, "")
        if kind in classes.PLAIN and classes.is_number(text) and not classes.PLAIN[kind].fullmatch(text):
            what, about = "a whole number" if kind == "integer" else "a number", cls.model_fields[name].description
            raise InputError(f"{name}={shown(text)}: write {what} plainly, such as 10 ({about})")
        if name not in RunParameters.model_fields and any(c.isdecimal() and not c.isascii() for c in text):
            raise InputError(f"{name}={shown(text)} has digits that are none of 0 to 9: type it anew")


@lru_cache
def _kinds(schema: type[RunParameters]) -> dict[str, str]:
    """What JSON calls the type of each parameter."""
    return {name: about.get("type", "") for name, about in schema.model_json_schema()["properties"].items()}


class _one_line:  # noqa: N801
    """Turn pydantic's report into one InputError line about the first fault."""

    def __init__(self, schema: type[RunParameters]):
        self.schema = schema

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, ValidationError):
            return
        fault = error.errors(include_url=False)[0]
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, InputError):
            raise inner from None
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "missing":
            raise InputError(f"parameter {name!r} is missing: {self.schema.model_fields[name].description}") from None
        about = self.schema.model_fields[name].description if name in self.schema.model_fields else ""
        message = fault["msg"][0].lower() + fault["msg"][1:]  # not all of it: allowed values may have capitals
        raise InputError(f"{name}={shown(fault['input'])}: {message} ({about})") from None
