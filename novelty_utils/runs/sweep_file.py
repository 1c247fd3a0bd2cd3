"""The file of a sweep: YAML that says which runs of which notebook, checked to the last one before the first starts.

    notebook: ics                    # as for `novelty run`
    parameters: {tier: paper}        # the same for every run
    grid:                            # one run for every combination
      dataset: [mnist, cifar10]
      class_name: all                # of each data set, one run per class
      seed: [0, 1, 2]

Several grids stand in a list `grids`, each with the keys above; what is outside the list holds for all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

from novelty_utils import notebook_cells
from novelty_utils.errors import InputError
from novelty_utils.params import RunParameters
from novelty_utils.records import store
from novelty_utils.runs import checking

MOST_RUNS = 100_000  # of one grid
LARGEST = 1_000_000  # values in a file
KEYS = ("notebook", "parameters", "grid")


class Job(NamedTuple):
    """One run of a sweep: parameters as text, as typed, and checked; `classes` are the names it is asked for."""

    notebook: Path
    text: dict[str, str]
    parameters: RunParameters
    classes: tuple[str, ...]

    @property
    def paper(self) -> str:
        """What its records call the paper: the name of the notebook."""
        return self.notebook.stem

    @property
    def asked(self) -> str:
        """What it asks for, as `asking` makes it of its records."""
        return asking(self.parameters.model_dump(exclude=store.NOT_THE_EXPERIMENT))

    @property
    def key(self) -> str:
        """A name that can be that of a file; the same run of the same notebook for the same folder has the same one."""
        p = self.parameters
        of = f"{self.asked} {self.classes} {p.device} {p.results}".encode() + self.notebook.read_bytes()
        words = f"{self.paper}-{p.dataset}-{p.class_name}-{p.tier}-s{p.seed}"
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', words)[-120:]}-{hashlib.sha256(of).hexdigest()[:10]}"


def asking(parameters: Mapping[str, Any]) -> str:
    """The parameters of an experiment as one text, equal for equal values in whatever order."""
    return json.dumps(parameters, sort_keys=True, default=list)


def read(file: Path, overrides: Mapping[str, str]) -> list[Job]:
    """All runs of a file, in its order; `overrides` hold for every one of them, also where the file has a list.

    Raises InputError, one line, for an unknown key, notebook or parameter, a value that is not allowed, a list
    without values, and a run that is asked for twice.
    """
    content = _mapping(_load(file), file, (*KEYS, "grids"), "the file")
    shared = {key: value for key, value in content.items() if key != "grids"}
    if "grids" not in content:
        grids = [shared]
    else:
        grids = content["grids"]
        if "grid" in shared or not isinstance(grids, list) or not grids:
            raise InputError(f"{file}: grids must be a list with a grid in each entry, and no grid beside it")
        grids = [_joined(shared, _mapping(grid, file, KEYS, "an entry of grids"), file) for grid in grids]
    jobs = [job for grid in grids for job in _jobs(grid, overrides, file)]
    _refuse_twice(jobs, file)
    return jobs


def _load(file: Path) -> Any:
    """The file as mappings, lists and text: nothing is converted, so a value is what one would type after -p."""
    if not importlib.util.find_spec("yaml"):
        raise InputError('PyYAML is missing: pip install "novelty-utils[sweep]"')
    import yaml

    class Loader(yaml.BaseLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value]
            for name, times in Counter(map(str, names)).items():
                if times > 1:  # YAML would take the last one in silence
                    raise InputError(f"{file}: {name!r} is there twice{_line(node)}; give it once")
            return super().construct_mapping(node, deep)

    try:
        text = file.read_text(encoding="utf-8")
        if _size(yaml.compose(text, Loader), {}) > LARGEST:
            raise InputError(f"{file} names more than {LARGEST:,} values, aliases (*) counted as what they stand for")
        return yaml.load(text, Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: give a YAML file, such as sweeps/ics_table1.yml ({error})") from error
    except RecursionError as error:
        raise InputError(f"{file} is nested too deep for the file of a sweep; see sweeps/ for examples") from error
    except yaml.YAMLError as error:
        problem = str(getattr(error, "problem", error))
        remedy = "write spaces in place of tabs" if r"\t" in problem else "see sweeps/ for examples"
        raise InputError(f"{file} is not YAML: {problem}{_line(error)}; {remedy}") from error


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a node of YAML stands for, aliases spelled out; 0 within itself, which YAML refuses."""
    if id(node) not in known:
        known[id(node)] = 0
        inside = node.value if node and not isinstance(node.value, str) else []
        parts = chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in inside)
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _line(where: Any) -> str:
    mark = getattr(where, "problem_mark", None) or getattr(where, "start_mark", None)
    return f" (line {mark.line + 1})" if mark else ""


def _mapping(value: Any, file: Path, allowed: tuple[str, ...] = (), what: str = "this") -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        found = f"it has {value!r}" if value else "there is nothing"
        raise InputError(f"{file}: {what} should be lines of `name: value`, {found}; see sweeps/ for examples")
    for key in value:
        if allowed and key not in allowed:
            raise InputError(f"{file}: unknown key {key!r}: choose from {', '.join(allowed)}")
    return value


def _joined(shared: Mapping[str, Any], grid: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """One entry of `grids` with what is outside the list."""
    if "notebook" in shared and "notebook" in grid:
        raise InputError(f"{file}: notebook is given for all grids and for one of them; give it once")
    both = [_mapping(part.get("parameters", {}), file, what="parameters") for part in (shared, grid)]
    for name in both[0].keys() & both[1].keys():
        raise InputError(f"{file}: {name} is given for all grids and for one of them; give it once")
    return {**shared, **grid, "parameters": {**both[0], **both[1]}}


def _jobs(grid: Mapping[str, Any], overrides: Mapping[str, str], file: Path) -> Iterator[Job]:
    if not isinstance(grid.get("notebook"), str):
        found = f"notebook={grid['notebook']!r} is not one name" if "notebook" in grid else "notebook is missing"
        raise InputError(f"{file}: {found}: name one, such as ics")
    try:
        notebook = checking.find_notebook(grid["notebook"])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    _refuse_other_name(notebook)
    schema, defaults = checking.read_schema(notebook)
    fixed = _mapping(grid.get("parameters", {}), file, what="parameters")
    lists = _mapping(grid.get("grid", {}), file, what="grid")
    if not lists:
        raise InputError(f"{file}: grid is missing or empty: give at least one parameter a list, such as seed: [0]")
    for name in fixed.keys() & lists.keys():
        raise InputError(f"{file}: {name} is given under parameters and under grid; give it once")
    for name in [*fixed, *lists]:  # here and not only below, where an override would hide it
        if name not in schema.model_fields:
            raise InputError(f"{file}: unknown parameter {name!r}: choose from {', '.join(schema.model_fields)}")
    fixed = {name: _text(name, value, file) for name, value in fixed.items()}
    lists = {name: _values(name, value, file) for name, value in lists.items()}
    lists |= {name: [overrides[name]] for name in overrides if name in lists}
    count = math.prod(map(len, lists.values())) * _most_classes(fixed, lists, schema, defaults)
    if count > MOST_RUNS:
        raise InputError(
            f"{file}: a grid of up to {count:,} runs is more than {MOST_RUNS:,}: take values out, or divide it"
        )
    asked = " ".join([str(file), *(f"-p {name}={value}" for name, value in overrides.items())])
    for values in product(*lists.values()):
        text = {**fixed, **dict(zip(lists, values, strict=True)), **overrides}
        try:
            for one in _each_class(text, lists, schema, defaults):
                yield _job(notebook, one, schema.parse(defaults, one))
        except InputError as error:
            raise InputError(f"{asked}: {error}") from error


def _most_classes(
    fixed: Mapping[str, str], lists: Mapping[str, Any], schema: type[RunParameters], defaults: Mapping[str, Any]
) -> int:
    """How many runs `class_name: all` makes of one, on the data set that has most; 1 without it."""
    if lists.get("class_name") != ["all"]:
        return 1
    names = lists.get("dataset", [fixed.get("dataset", defaults.get("dataset", ""))])
    found = [1]
    for name in set(names):
        with contextlib.suppress(InputError):  # told later, with its run
            found.append(len(schema.classes_of(name)))
    return max(found)


def _refuse_other_name(notebook: Path) -> None:
    """A sweep finds the records of a run by the name of its notebook; a renamed copy would compute in vain."""
    source = "\n".join(cell.source for cell in notebook_cells.code_cells(notebook))
    names = set(re.findall(r"records\.make\(\s*[\"'](\w+)[\"']", source)) - {notebook.stem}
    if names:
        raise InputError(
            f"{notebook} makes records of {min(names)!r}: call the file {min(names)}.ipynb, in a folder of its own, or "
            f"write records.make({notebook.stem!r}, ...) in it"
        )


def _text(name: str, value: Any, file: Path) -> str:
    if not isinstance(value, str):
        several = f", or write {name}: {','.join(map(str, value))} if one run takes them all" * isinstance(value, list)
        raise InputError(f"{file}: {name}={value!r} is not one value: put lists under grid{several}")
    return value


def _values(name: str, value: Any, file: Path) -> list[str]:
    if name == "class_name" and value == "all":
        return [value]
    if not isinstance(value, list) or not value:
        raise InputError(f"{file}: {name}={value!r} is no list with values in it: write {name}: [...]")
    if name == "class_name" and "all" in value:
        raise InputError(
            f"{file}: class_name={value!r}: write class_name: all for a run per class, or put it under parameters "
            "for one run of all classes"
        )
    return [_text(name, one, file) for one in value]


def _each_class(
    text: dict[str, str], lists: Mapping[str, Any], schema: type[RunParameters], defaults: Mapping[str, Any]
) -> Iterator[dict[str, str]]:
    """`class_name: all` under grid is a run per class; under parameters it is one run, as on the command line."""
    if "class_name" in lists and text["class_name"] == "all":
        for name in schema.classes_of(text.get("dataset", defaults.get("dataset", ""))):
            yield {**text, "class_name": name}
    else:
        yield text


def _job(notebook: Path, text: dict[str, str], parameters: RunParameters) -> Job:
    names = parameters.classes_of(parameters.dataset)
    return Job(notebook, text, parameters, tuple(names[label] for label in parameters.labels()))


def _refuse_twice(jobs: list[Job], file: Path) -> None:
    seen = set()
    for job in jobs:
        for name in job.classes:
            run = (job.paper, job.asked, name, job.parameters.results)
            if run in seen:
                asked = " ".join(f"{key}={value}" for key, value in job.text.items())
                raise InputError(f"{file}: a run is asked for twice ({job.paper} {asked}); leave one out")
            seen.add(run)
