"""Since when the rules of the ledger have been what they are, and which records are older, from the git history."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from novelty_utils.ledger import staleness
from novelty_utils.records.store import Record

MARGINS = "novelty_utils/ledger/published/margins.toml"
COLLAPSE = "novelty_utils/training/collapse.py"

Values = dict[str, Any]


class Rule(NamedTuple):
    """A constant that verdicts depend on."""

    name: str
    value: Any
    since: datetime  # of the commit from which on it has had this value


def rules() -> list[Rule]:
    """Every margin, and what a training is called dead by; none where the history is missing."""
    return [*_rules(MARGINS, margins), *_rules(COLLAPSE, constants)]


def made_before(rule: Rule, records: Iterable[Record]) -> int:
    """How many of the records the rule is younger than."""
    return sum(datetime.fromisoformat(record.created) < rule.since for record in records)


def margins(text: str) -> Values:
    """{"cell.auroc": 0.03, ...} of margins.toml."""
    found: Values = {}
    for name, value in tomllib.loads(text).items():
        found |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return found


def constants(text: str) -> Values:
    """The numbers that a module gives names in capitals."""
    found: Values = {}
    for line in ast.parse(text).body:
        if (
            isinstance(line, ast.Assign)
            and isinstance(line.value, ast.Constant)
            and isinstance(line.targets[0], ast.Name)
        ):
            name, value = line.targets[0].id, line.value.value
            found |= {name: value} if name.isupper() and isinstance(value, int | float) else {}
    return found


def _rules(path: str, values: Callable[[str], Values]) -> list[Rule]:
    versions = [(when, values(text)) for when, text in staleness.versions(path)]  # the latest first
    if not versions:
        return []
    return [Rule(name, value, since(name, value, versions)) for name, value in versions[0][1].items()]


def since(name: str, value: Any, versions: list[tuple[datetime, Values]]) -> datetime:
    """When the name got this value and kept it; versions: the latest first."""
    when = versions[0][0]
    for earlier, values in versions[1:]:
        if name not in values or values[name] != value:
            break
        when = earlier
    return when
