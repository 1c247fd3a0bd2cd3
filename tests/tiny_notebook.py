"""A notebook with the two tagged cells and one that works, for tests of how notebooks are run."""

import json
from pathlib import Path

PARAMETERS = """\
dataset = "digits"  # a data set
class_name = "0"
tier = "smoke"
seed = 0
device = "auto"
results = "results"
beta = 0.5  # weight
note = "none"
act = "work"
"""
SCHEMA = """\
from typing import Literal
from pydantic import Field
from novelty_utils.params import RunParameters

class Parameters(RunParameters):
    "The parameters of a tiny run."
    beta: float = Field(ge=0, description="weight of a loss, eq. 1")
    note: str = Field(description="any text")
    act: Literal["work", "fail", "die", "leave", "wait", "pause", "refuse", "tables"] = Field(
        description="what cell 3 does"
    )

p = Parameters.check(globals())
"""
WORK = """\
import json, os, signal, sys, time
from pathlib import Path

def fail():
    raise ValueError("two\\nlines")

if p.act == "fail":
    fail()
if p.act == "refuse":
    from novelty_utils.records import DamagedRecordError
    raise DamagedRecordError("a.json is not a record of a run")
if p.act == "die":
    os._exit(0)
if p.act == "leave":
    sys.exit(0)
if p.act == "wait":  # for the Ctrl-C that it sends to the process that started the kernel
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)
if p.act == "pause":
    Path("waiting").touch()
    time.sleep(60)
if p.act == "tables":
    Path(p.results, "tiny", "digits").mkdir(parents=True)
    Path(p.results, "tiny", "digits", "record.json").write_text("{}")
    from novelty_utils.errors import InputError
    raise InputError("another.json is not a record of a run")
Path(p.results).mkdir()
Path(p.results, "record.json").write_text(json.dumps([p.model_dump(), beta, class_name, __name__]));
"""


def write_notebook(folder, *more, first=PARAMETERS, schema=SCHEMA, name="tiny"):
    """Write folder/notebooks/NAME.ipynb: the two tagged cells, the working cell, a last expression and `more` cells."""
    tagged = [(first, ["parameters"]), (schema, ["schema"]), (WORK, []), ("{'beta': p.beta}", [])]
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {"tags": tags}, "source": source, "outputs": []}
        | {"execution_count": None}
        for n, (source, tags) in enumerate([*tagged, *((source, []) for source in more)])
    ]
    cells.insert(0, {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Tiny\n", "notebook"]})
    path = Path(folder, "notebooks", f"{name}.ipynb")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path
