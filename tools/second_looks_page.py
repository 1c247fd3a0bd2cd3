"""The table of second looks on the page of claims: what was tried at each shortfall, numbers from records."""

from pathlib import Path

import pandas as pd

from novelty_utils.files import write_atomically
from novelty_utils.ledger import readings, second_looks
from novelty_utils.ledger.evidence import Evidence
from novelty_utils.ledger.second_looks import Look, Second, Tried

HEAD = ["date", "whose reading", "what was tried", "AUROC", "to reach"]


def write_parts(folder: Path, results: str | Path, names: dict[str, str]) -> None:
    """Into `folder`: claims_second_looks.md, and overturned_CLAIM.md of the headline claims."""
    parts = {"claims_second_looks": text(results, names)}
    parts |= {f"overturned_{look.claim}": today(look.claim, results) for look in second_looks.looks() if look.headline}
    for name, part in parts.items():
        write_atomically(folder / f"{name}.md", lambda file, part=part: file.write(part.encode()))


def text(results: str | Path, names: dict[str, str]) -> str:
    """A heading, a table and two sentences for each claim that was looked at, in Markdown; `names` of the papers."""
    return "\n".join(_of_claim(look, results, names) for look in second_looks.looks())


def _of_claim(look: Look, results: str | Path, names: dict[str, str]) -> str:
    about = look.about
    ours = Evidence(about.paper, results).records
    rows = readings.table(about, ours)
    lines = [_line(look, one, rows) for one in look.tried]
    lines.append(_independent(look, second_looks.second(look, ours, results)))
    table = "".join(f"| {' | '.join(line)} |\n" for line in [HEAD, ["---", "---", "---", "--:", "--:"], *lines])
    said = f"**{names[about.paper]}: {about.claim}** ({about.where}; {_classes(look)}).\n\n{table}\n"
    return f"{said}{readings.sentence(rows)} What would still change our mind: {look.mind[0].lower()}{look.mind[1:]}\n"


def today(claim: str, results: str | Path) -> str:
    """Ours, theirs and what is to be reached, and what the readings say of one claim now."""
    (look,) = (one for one in second_looks.looks() if one.claim == claim)
    ours = Evidence(look.about.paper, results).records
    rows = readings.table(look.about, ours)
    default, found = rows.iloc[0], second_looks.second(look, ours, results)
    cells = [_number(default[name]) for name in ("ours", "every", "line")] + [_theirs(look, found)]
    head = f"our default on {' and '.join(look.about.classes)} | on all classes | to reach | independent implementation"
    return f"| {head} |\n| --: | --: | --: | --: |\n| {' | '.join(cells)} |\n\n{readings.sentence(rows)}\n"


def _classes(look: Look) -> str:
    return f"{look.about.dataset.replace('_', ' ')}, classes {' and '.join(look.about.classes)}, {look.about.chosen}"


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
    seeds = f"class {' and '.join(found.classes)}, {found.seeds} seed{'s' * (found.seeds > 1)}"
    verdict = " It reaches what ours does not." if found.disagree else ""
    return [
        "",
        "independent implementation",
        f"{what[:-1]}; {seeds}.{verdict}",
        _number(found.theirs),
        _number(found.line),
    ]


def _theirs(look: Look, found: Second | None) -> str:
    """Theirs, with the classes where it was not run on all."""
    part = f" ({', '.join(found.classes)})" if found and found.classes != look.about.classes else ""
    return _number(found and found.theirs) + part


def _number(value: float | None) -> str:
    return "not run yet" if value is None or pd.isna(value) else f"{value:.3f}"
