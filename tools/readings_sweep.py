"""Writes sweeps/readings.yml: the runs of every reading in published/readings.toml, on two classes of each claim."""

import argparse
import sys
from pathlib import Path
from typing import Any

from novelty_utils.files import write_atomically
from novelty_utils.ledger import readings
from novelty_utils.ledger.readings import FULL, Claim
from novelty_utils.runs import checking

ROOT = Path(__file__).parents[1]
FILE = ROOT / "sweeps" / "readings.yml"
HEAD = """# Every reading of the claims in readings.toml, on two classes each, one seed. {runs} runs.
# Demo tier, written by tools/readings_sweep.py. Readings that are a longer training are no part of it.
parameters: {{tier: demo, seed: 0}}
grids:
"""


def text(claims: list[Claim]) -> str:
    """The file of the sweep; a run that two choices share is listed once."""
    asked: dict[str, int] = {}
    for claim in claims:
        for given in _runs(claim):
            line = f"  - notebook: {claim.paper}\n    parameters: {_flow(given)}\n"
            line += f"    grid: {{class_name: {_flow(claim.classes)}}}\n"
            asked[line] = len(claim.classes)
    return HEAD.format(runs=sum(asked.values())) + "".join(asked)


def _runs(claim: Claim) -> list[dict[str, Any]]:
    """The parameters of its runs, but for those at full length, and those with a parameter the notebook has not yet."""
    schema, _ = checking.read_schema(ROOT / "notebooks" / f"{claim.paper}.ipynb")
    every = [claim.run | claim.parameters | reading.parameters for _, reading in claim.readings()]
    short = [given for given in every if given["tier"] != FULL]
    known = [{k: v for k, v in given.items() if k in schema.model_fields} for given in short]
    return [{"dataset": claim.dataset} | {k: v for k, v in given.items() if k != "tier"} for given in known]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inside)}" for name, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and "," in value else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of step")
    wanted = text(list(readings.claims().values()))
    if parser.parse_args().check:
        return int(FILE.read_text(encoding="utf-8") != wanted)
    write_atomically(FILE, lambda file: file.write(wanted.encode()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
