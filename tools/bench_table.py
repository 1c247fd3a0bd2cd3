"""What the benchmarks share: a clock, a row of their tables, and how the tables are printed."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Row = dict[str, object]  # what, value, unit, and where there is one: target, met


def row(what: str, value: float, unit: str, target: str = "", met: bool | None = None) -> Row:
    return {
        "what": what,
        "value": round(float(value), 4),
        "unit": unit,
        "target": target,
        "met": None if met is None else bool(met),
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def show(report: dict) -> None:
    """report: `machine`, as provenance.machine gives it, with `load_before`; and `tables`, rows by title."""
    machine = report["machine"]
    print(f"\n{machine['gpu'] or machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}")
    if machine["load_before"] > 0.5:
        print(f"The machine was busy before the start (load {machine['load_before']}): expect noise in every time.")
    for title, rows in report["tables"].items():
        print(f"\n{title}")
        for r in rows:
            verdict = "" if r["met"] is None else f"target {r['target']}: {'met' if r['met'] else 'MISSED'}"
            print(f"  {r['what']:42}{r['value']:>12,.4g} {r['unit']:9}{verdict}".rstrip())
