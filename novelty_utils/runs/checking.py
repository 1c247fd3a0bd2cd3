"""Which notebook is meant, and whether it takes the parameters that were typed, before torch or any data is loaded.

A notebook has a code cell tagged `parameters` (plain assignments with defaults) and one tagged `schema` (a subclass of
RunParameters). Those two alone are executed to check what the user typed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from novelty_utils import notebook_cells
from novelty_utils.errors import InputError
from novelty_utils.files import first_there, reachable, user_path
from novelty_utils.params import RunParameters
from novelty_utils.records.schema import NOT_THE_EXPERIMENT, Record


def find_notebook(name: str) -> Path:
    """The notebook meant by `ics` (notebooks/ics.ipynb here or in a folder above) or by the path of an .ipynb.

    Raises InputError if there is none; the line lists the notebooks that were found.
    """
    if name.endswith(".ipynb"):
        path = user_path("notebook", name)
        with reachable("notebook", name):
            if first_there(path) == path and path.is_file():
                return path
        raise InputError(f"notebook {name!r} is not a file: give the path of an .ipynb, or a name such as ics")
    found: dict[str, Path] = {}
    for folder in (Path.cwd(), *Path.cwd().parents):
        for path in sorted((folder / "notebooks").glob("*.ipynb")):
            found.setdefault(path.stem, path)
    if name in found:
        return found[name]
    choice = f"choose one of {', '.join(found)}" if found else "no notebooks/*.ipynb here or above: go to the clone"
    raise InputError(f"notebook {name!r} is not known: {choice}, or give the path of an .ipynb")


def read_schema(notebook: Path) -> tuple[type[RunParameters], dict[str, Any]]:
    """The schema class of a notebook and its defaults (Python values), by executing the two tagged cells only.

    Raises InputError if the file is no notebook, a tag is missing or one of the two cells fails.
    """
    code = notebook_cells.code_cells(notebook)
    tagged = [[cell for cell in code if tag in cell.tags][:1] for tag in ("parameters", "schema")]
    if not all(tagged):
        raise InputError(f"{notebook} has no cell tagged parameters or no cell tagged schema: it cannot take any")
    compiled = notebook_cells.compiled([*chain.from_iterable(tagged)])
    with notebook_cells.fresh_main() as namespace, contextlib.redirect_stdout(io.StringIO()):
        try:
            for _, parts in compiled:
                notebook_cells.execute(parts, namespace)
        except InputError:
            pass  # the defaults alone do not pass, e.g. a file named like a folder; the user's text may put that right
        except (Exception, SystemExit) as error:
            raise InputError(f"{notebook}: its parameters cannot be read: {notebook_cells.fault(error)}") from error
    schemas = [thing for thing in namespace.values() if _is_schema(thing)]
    if len(schemas) != 1:
        raise InputError(f"{notebook}: its schema cell defines {len(schemas)} subclasses of RunParameters, not one")
    return schemas[0], {name: namespace[name] for name in schemas[0].model_fields if name in namespace}


def check(notebook: Path, text: Mapping[str, str]) -> tuple[RunParameters, dict[str, Any]]:
    """Check command-line text against a notebook's schema, before anything is loaded.

    Returns the parameters of the whole run, and the Python values of the names in `text` only, to inject.
    Raises InputError for an unknown name, a wrong type and a value that is not allowed.
    """
    for name, value in text.items():
        if not isinstance(value, str):
            raise InputError(f"{name}={value!r} is not text: write {str(value)!r}, as on the command line")
    schema, defaults = read_schema(notebook)
    parameters = schema.parse(defaults, text)
    return parameters, {name: getattr(parameters, name) for name in text}


def default_output(notebook: Path, parameters: RunParameters) -> Path:
    """Where a papermill run is written: runs/NAME-dataset-class-tier-sSEED, then every further change, .ipynb."""
    _, defaults = read_schema(notebook)
    p = parameters
    words = [notebook.stem, p.dataset, p.class_name, p.tier, f"s{p.seed}"]
    for name in type(p).model_fields:
        if name not in {"dataset", "class_name", "tier", "seed"} and getattr(p, name) != defaults.get(name):
            words += [name, str(getattr(p, name))]
    return Path("runs", _file_name("-".join(_file_name(word, 40) for word in words), 180) + ".ipynb")


def recorded(paper: str, parameters: RunParameters) -> list[Path]:
    """The files that hold the records of a run, one for each class, in the order of the classes; drawn ones by name.

    Where the images have changed between two such runs, the newer record counts. A file that is no record is none of
    the run's. Loads neither torch nor pandas. Raises InputError if the data set is gone.
    """
    p = parameters
    newest: dict[str, tuple[str, Path]] = {}
    asked = p.model_dump(mode="json", exclude=NOT_THE_EXPERIMENT)
    for file in Path(p.results, paper).glob(f"*/*-{p.tier}-s{p.seed}-*.json"):
        with contextlib.suppress(OSError, ValueError):
            record = Record.model_validate_json(file.read_text(encoding="utf-8"))
            if record.parameters == asked:
                newest[record.class_name] = max(newest.get(record.class_name, ("", file)), (record.created, file))
    every = p.classes_of(p.dataset)
    names = [every[label] for label in p.labels()]
    names += sorted(newest.keys() - set(every)) if p.class_name == "all" else []
    return [newest[name][1] for name in names if name in newest]


def _file_name(text: str, longest: int) -> str:
    """`text` if it can stand in a file name; otherwise its readable end, told apart from its like by a digest."""
    if len(text) <= longest and re.fullmatch(r"[A-Za-z0-9_.,+-]+", text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_.,+-]+", "_", text).strip("_.")[9 - longest :]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _is_schema(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, RunParameters) and thing is not RunParameters
