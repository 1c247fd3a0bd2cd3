"""The papers' printed numbers, one CSV per paper, one row per printed cell."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def read(paper: str) -> pd.DataFrame:
    """Columns table, dataset, protocol, class_name, method, setting, metric, unit, note as printed; value as float."""
    with files(__name__).joinpath(f"{paper}.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return table.assign(value=table["value"].astype(float))
