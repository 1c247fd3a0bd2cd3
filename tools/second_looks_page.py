"""The table of second looks on the page of claims: what was tried at each headline shortfall, numbers from records."""

from pathlib import Path

import pandas as pd

from novelty_utils import readings, records, second_looks
from novelty_utils.second_looks import Look, Second, Tried

HEAD = ["date", "whose reading", "what was tried", "AUROC", "to reach"]


def text(results: str | Path, names: dict[str, str]) -> str:
    """A heading, a table and two sentences for each headline claim, in Markdown; `names` of the papers."""
    return "\n".join(_of_claim(look, results, names) for look in second_looks.looks())


def _of_claim(look: Look, results: str | Path, names: dict[str, str]) -> str:
    about = look.about
    ours = records.read(about.paper, results)
    rows = readings.table(about, ours)
    lines = [_line(look, one, rows) for one in look.tried]
    lines.append(_independent(look, second_looks.second(look, ours, results)))
    table = "".join(f"| {' | '.join(line)} |\n" for line in [HEAD, ["---", "---", "---", "--:", "--:"], *lines])
    said = f"**{names[about.paper]}: {about.claim}** ({about.where}; {_classes(look)}).\n\n{table}\n"
    return f"{said}{readings.sentence(rows)} What would still change our mind: {look.mind}\n"


def _classes(look: Look) -> str:
    return f"{look.about.dataset.replace('_', ' ')}, classes {' and '.join(look.about.classes)}, fixed beforehand"


def _line(look: Look, one: Tried, rows: pd.DataFrame) -> list[str]:
    ours = line = ""
    if one.choice:
        (row,) = rows[(rows.choice == one.choice) & (rows.reading == one.reading)].to_dict("records")
        ours, line = (_number(row[name]) for name in ("ours", "line"))
    return [f"{one.date}", one.whose, one.what, ours, line]


def _independent(look: Look, found: Second | None) -> list[str]:
    what = f"Written from the paper alone, by somebody who had not read ours (tools/second_look/{look.about.paper}.py)."
    if found is None:
        return ["", "independent implementation", what, "not run yet", ""]
    seeds = f"{found.seeds} seed{'s' * (found.seeds > 1)}"
    verdict = " It reaches what ours does not." if found.disagree else ""
    return [
        "",
        "independent implementation",
        f"{what[:-1]}; {seeds}.{verdict}",
        _number(found.theirs),
        _number(found.line),
    ]


def _number(value: float | None) -> str:
    return "not run yet" if value is None or pd.isna(value) else f"{value:.3f}"
