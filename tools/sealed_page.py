"""The part of the page of claims on how old the rules are beside the records that they judge."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from novelty_utils.files import write_atomically
from novelty_utils.ledger import claims, sealed
from novelty_utils.records import store


def write_parts(folder: Path, results: str | Path) -> None:
    """Into `folder`: claims_sealed.md, for book/claims.md."""
    text = told(sealed.rules(), [record for paper in claims.PAPERS for record in store.read(paper, results)])
    write_atomically(folder / "claims_sealed.md", lambda file: file.write(text.encode()))


def told(rules: list[sealed.Rule], records: list[store.Record]) -> str:
    """A row for the rules of each day, in Markdown."""
    if not rules:
        return "How old the rules are cannot be told without the git history.\n"
    lines = [f"| unchanged since | rules | of {len(records)} records older |", "| --- | --- | --: |"]
    for day, of_day in groupby(sorted(rules, key=lambda rule: rule.since), key=lambda rule: rule.since.date()):
        mine = list(of_day)
        names = ", ".join(f"`{rule.name}` {rule.value:g}" for rule in mine)
        lines.append(f"| {day} | {names} | {max(sealed.made_before(rule, records) for rule in mine)} |")
    return "".join(f"{line}\n" for line in lines)
