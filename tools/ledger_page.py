"""The parts of the page of claims that are computed: the tables, the figure and the files to download."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from novelty_utils.evaluation import plots
from novelty_utils.files import write_atomically
from novelty_utils.ledger import claims, tables, verdicts
from novelty_utils.ledger.tables import verbatim
from novelty_utils.records import provenance
from novelty_utils.records.replications import Repeat

NAMES = {"ics": "ICS", "nln": "NLN", "crbnd": "CRBND", "ade_gan": "ADe-GAN"}
MARKS = {
    verdicts.REPRODUCED: ("#009e73", "o"),
    verdicts.BETTER: ("#0072b2", "^"),
    verdicts.MIXED: ("#8c8c8c", "s"),
    verdicts.BELOW: ("#e69f00", "v"),
    verdicts.ABOVE: ("#e69f00", "^"),
    verdicts.OPEN: ("#cc79a7", "D"),
    verdicts.CONTESTED: ("#56b4e9", "X"),
    verdicts.NOT_REPRODUCED: ("#d55e00", "P"),
}
OUTSIDE = [verdicts.BELOW, verdicts.ABOVE, verdicts.OPEN, verdicts.CONTESTED, verdicts.NOT_REPRODUCED]
NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"
UNIT = {"auroc", "balanced_accuracy", "f1", "pixel_auroc"}  # metrics that share the axes of the figure
DETAILS = {"tier": "tier", "recipe": "training", "seeds": "seeds", "margin": "margin", "stale": "changed since"}


def write_parts(folder: Path, table: pd.DataFrame, repeated: list[Repeat]) -> None:
    """Into `folder`: claims_*.md, claims_{controls,orders,PAPER}.html and claims.{png,csv,json}, for book/claims.md."""
    claims.write(table, folder)
    parts = {
        "answer": _answer(table), "reading": _reading(table), "summary": _summary(table),
        "seeds": _seeds(table), "changed": _changed(table), "repeats": _repeats(repeated),
    }  # fmt: skip
    for name, text in parts.items():
        _text(folder / f"claims_{name}.md", text)
    _text(folder / "claims_count.html", _count(table))
    _text(folder / "claims_rule.html", _own_rule())
    _text(folder / "claims_controls.html", _controls())
    _text(folder / "claims_orders.html", _rows(table[table.kind != "number"], "orders", _of_order))
    for paper in NAMES:
        numbers = table[(table.paper == paper) & (table.kind == "number")]
        _text(folder / f"claims_{paper}.html", _rows(numbers, NAMES[paper], _of_number))
    figure = _figure(table)
    write_atomically(folder / "claims.png", lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)


def _text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _count(table: pd.DataFrame) -> str:
    """How many rows have which verdict, a column per paper; hidden is what only a reader's own rule may give."""
    counts = pd.crosstab(table.verdict, table.paper).reindex(index=verdicts.VERDICTS, columns=list(NAMES), fill_value=0)
    head = "".join(f'<th scope="col" data-paper="{paper}">{name}</th>' for paper, name in NAMES.items())
    body = ""
    for verdict, row in counts.iterrows():
        cells = "".join(f"<td>{number}</td>" for number in [*row, row.sum()])
        hidden = "" if row.sum() else " hidden"
        body += f'<tr data-verdict="{verdict}"{hidden}><th scope="row">{verdict}</th>{cells}</tr>\n'
    head = f'<th scope="col">rows</th>{head}<th scope="col" data-paper="">all</th>'
    return f'<table class="table count"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n'


def _summary(table: pd.DataFrame) -> str:
    """The same for every table and text of a paper."""
    counts = claims.summary(table)
    lines = [["paper", "where", *counts.columns], ["---", "---", *["--:"] * len(counts.columns)]]
    for (paper, where), row in zip(counts.index, counts.to_numpy(), strict=True):
        lines.append([NAMES[paper].replace("-", NO_BREAK_HYPHEN), where, *map(str, row)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _attempted_once(table: pd.DataFrame) -> pd.DataFrame:
    numbers = table[(table.kind == "number") & (table.verdict != verdicts.NOT_ATTEMPTED)]
    return numbers[numbers.same_as == ""]


def _answer(table: pd.DataFrame) -> str:
    once = _attempted_once(table)
    if once.empty:
        return "No printed number has been attempted yet.\n"
    trained = once[once.trained.astype(bool)]
    reproduced, of_trained = ((rows.verdict == verdicts.REPRODUCED).sum() for rows in (once, trained))
    said = f"**{len(once)} different printed numbers were attempted, and {reproduced} are reproduced.** "
    return said + f"Of the {len(trained)} that belong to a trained method, {of_trained} are.\n"


def _reading(table: pd.DataFrame) -> str:
    """What the counts of verdicts rest on, in a few sentences."""
    once = _attempted_once(table)
    if once.empty:
        return ""
    mixed, outside = once[once.verdict == verdicts.MIXED], once[once.verdict.isin(OUTSIDE)]
    lone, above = mixed.reason.str.contains("one seed cannot tell").sum(), (outside.difference > 0).sum()
    again = (table.kind.eq("number") & table.verdict.ne(verdicts.NOT_ATTEMPTED)).sum() - len(once)
    said = f"Beyond the margin, {len(outside) - above} of ours lie below the printed number and {above} above it. "
    said += (
        f"Of the {len(mixed)} mixed ones {lone} rest on one seed, which can never show that a number is the printed "
    )
    return said + f"one. {again} more rows repeat one of these numbers or show another recipe beside it.\n"


def _seeds(table: pd.DataFrame) -> str:
    """How many rows rest on one seed, and how far seeds lie apart where there are several, in Markdown."""
    numbers = table[(table.kind == "number") & (table.verdict != verdicts.NOT_ATTEMPTED) & (table.same_as == "")]
    if numbers.empty:
        return "No printed number has been attempted yet.\n"
    said = f"{(numbers.seeds == 1).sum()} of {len(numbers)} attempted printed numbers rest on a single seed, and "
    said += f"{numbers.reason.str.contains('seeds assumed').sum()} intervals on an assumed deviation, of an AUROC "
    said += f"{verdicts.margins().seed_deviation['auroc']:g}. {numbers.reason.str.contains('transferred').sum()} take "
    said += "one that was measured on other images. Where seeds were repeated, this was measured:\n\n"
    lines = ["| paper | method | metric | classes | pooled deviation | a single class moved by up to |"]
    lines += ["| --- | --- | --- | --: | --: | --: |"]
    for one in table.attrs["repeated"]:
        words = [
            NAMES[one.paper],
            verbatim(one.method),
            verbatim(_spaced(one.metric)),
            str(one.classes),
            _plain(one.deviation),
            _plain(one.widest),
        ]
        lines.append(f"| {' | '.join(words)} |")
    return said + "".join(f"{line}\n" for line in lines)


def _changed(table: pd.DataFrame) -> str:
    attempted = table[table.verdict != verdicts.NOT_ATTEMPTED]
    stale = attempted.stale.fillna("").astype(str)
    unknown = stale.str.contains("history missing")
    changed = (stale.ne("") & ~unknown).sum()
    cannot = f" Of {unknown.sum()} it cannot be told." if unknown.any() else ""
    return f"{changed} of {len(attempted)} attempted rows were made by code that has changed since.{cannot}\n"


def _repeats(repeated: list[Repeat]) -> str:
    """How far the runs that were made again lie from the first ones, in Markdown."""
    if not repeated:
        return "No run has been made again yet.\n"
    said = []
    for same, where in ((True, "on the same hardware"), (False, "on other hardware")):
        if apart := [one.largest for one in repeated if one.same_hardware == same]:
            said.append(f"{len(apart)} {where}, where no AUROC moved by more than {100 * max(apart):.2g} points")
    lines = [f"{len(repeated)} runs were made again: {'; '.join(said)}.\n\n"]
    lines += ["| run | data, protocol, class, seed | commits | AUROCs | largest difference, points | hardware |\n"]
    lines += ["| --- | --- | --- | --: | --: | --- |\n"]
    for one in repeated:
        commits = " → ".join((r.code["commit"] or "unknown")[:7] for r in (one.first, one.again))
        hardware = " → ".join(dict.fromkeys(provenance.hardware(r.machine) for r in (one.first, one.again)))
        about = [one.first.dataset, one.first.parameters.get("protocol", ""), one.first.class_name, str(one.first.seed)]
        name = NAMES.get(one.first.paper, _spaced(one.first.paper)).replace("-", NO_BREAK_HYPHEN)
        words = [
            name,
            ", ".join(_spaced(word) for word in about if word),
            commits,
            str(one.compared),
            f"{100 * one.largest:.2g}",
            hardware,
        ]
        lines.append(f"| {' | '.join(map(verbatim, words))} |\n")
    return "".join(lines)


def _own_rule() -> str:
    """What a reader may move: the margin of one class and the assumed deviation between seeds, in points."""
    limits = verdicts.margins()
    margin, sigma = (f"{100 * value:g}" for value in (limits.cell["auroc"], limits.seed_deviation["auroc"]))
    return (
        '<form class="rule" autocomplete="off">'
        "<label>Margin "
        f'<input type="range" name="margin" min="0.5" max="9" step="0.5" value="{margin}"><output></output></label>'
        "<label>Deviation between seeds, where it is assumed "
        f'<input type="range" name="sigma" min="0" max="6" step="0.5" value="{sigma}"><output></output></label>'
        '<button type="reset">The committed rule</button> <output class="moved" aria-live="polite"></output></form>\n'
    )


def _controls() -> str:
    """What ledger.js reads: the words and the verdict that a row must have to be seen."""
    options = ["attempted", "all", *verdicts.VERDICTS]
    choices = "".join(f"<option>{one}</option>" for one in options)
    return (
        '<form class="ledger"><label>Verdict <select name="verdict">' + choices + "</select></label>"
        '<label>Words <input name="words" type="search" placeholder="mnist mean"></label>'
        '<output aria-live="polite"></output></form><script defer src="../_static/ledger.js"></script>\n'
    )


def _rows(table: pd.DataFrame, name: str, cells: Callable[[pd.Series], dict[str, str]]) -> str:
    """A table in a box of its own; rows that were not attempted are there, hidden until they are asked for."""
    lines = [(line, cells(line)) for _, line in table.iterrows()]
    if not lines:
        return ""
    head = "".join(f"<th>{column}</th>" for column in lines[0][1])
    body = "".join(_row(line, list(found.values())) for line, found in lines)
    table_html = f'<table class="table ledger"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>'
    return f'<div class="ledger" tabindex="0" role="region" aria-label="Rows of {name}">{table_html}</div>\n'


def _row(line: pd.Series, cells: Sequence[str]) -> str:
    hidden = " hidden" * (line.verdict == verdicts.NOT_ATTEMPTED)
    inside = "".join(f"<td>{cell}</td>" for cell in cells)
    about = f'data-paper="{line.paper}" data-verdict="{line.verdict}"{_rule(line, cells)}{hidden}'
    return f'<tr id="row-{line.name}" {about}>{inside}</tr>\n'


def _rule(line: pd.Series, cells: Sequence[str]) -> str:
    """What ledger.js needs to judge the row anew, as an attribute; none for a row that was not attempted."""
    if not isinstance(line.inputs, str):
        return ""
    known = {"verdict": line.verdict, "margin": line.margin, "cell": [*cells].index(line.verdict)}
    inputs = json.loads(line.inputs)
    if "parts" in inputs:
        known["difference"] = _digits(line.difference)
        inputs["parts"] = [[_digits(value) for value in part] for part in inputs["parts"]]
    elif math.isfinite(line.low):
        known |= {"low": _digits(line.low), "high": _digits(line.high)}
    return f" data-rule='{json.dumps(known | inputs, separators=(',', ':'))}'"


def _digits(value: float) -> float:
    """Enough of them for a verdict, and half the page: a Boolean stays one."""
    return value if isinstance(value, bool) else float(f"{value:.9g}")


def _of_order(line: pd.Series) -> dict[str, str]:
    return {
        "claim": f"{NAMES[line.paper]}: {_named(html.escape(line.claim))}", "data": _named(line.dataset),
        "metric": _metric(line.metric), "printed": _signed(line.printed), "ours": _with_interval(line, _signed),
        "verdict": line.verdict, "why": _why(line),
    }  # fmt: skip


def _of_number(line: pd.Series) -> dict[str, str]:
    worked_out = " (worked out)" * ("worked out" in line.claim)
    setting = "" if line.setting == "default" else f" <small>{_setting(line.setting)}</small>"
    return {
        "where": line["where"], "data": f"{_named(line.dataset)}, {html.escape(line.class_name)}",
        "method": html.escape(line.method) + worked_out + setting, "metric": _metric(line.metric),
        "printed": _plain(line.printed), "ours": _with_interval(line, _plain), "verdict": line.verdict,
        "why": _why(line),
    }  # fmt: skip


def _why(line: pd.Series) -> str:
    """The reason; what it rests on, to unfold."""
    same = "" if pd.isna(line.same_as) or not line.same_as else f"; counted once: {line.same_as}"
    known = [name for name in DETAILS if pd.notna(line[name]) and line[name] != ""] if pd.notna(line.ours) else []
    told = [f"{DETAILS[name]}: {_short(name, line[name])}" for name in known]
    told += [f"<code>{html.escape(line.command)}</code>"] if pd.notna(line.command) and line.command else []
    reason = html.escape(line.reason + same)
    return _folded(reason, "<br>".join(told)) if told else reason


def _short(name: str, value: object) -> str:
    """A number, or words; of what has changed the first three names, all are in claims.csv."""
    if isinstance(value, float):
        return f"{value:g}"
    names = str(value).split(", ")
    if name == "stale" and len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return html.escape(str(value))


def _words(name: str) -> str:
    """A recorded name for readers, with places where a line may break, as HTML."""
    return html.escape(_spaced(name))


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace(";", "; ")


def _setting(text: str) -> str:
    """Values keep the name of their parameter, everything else is words."""
    return "; ".join(html.escape(part) if "=" in part else _words(part) for part in text.split(";"))


def _named(text: str) -> str:
    """With the names of data sets as readers know them."""
    for name in sorted(tables.DATASETS, key=len, reverse=True):
        text = re.sub(rf"\b{name}\b", tables.DATASETS[name], text)
    return _words(text)


def _metric(name: str) -> str:
    return _words(name).replace("auroc", "AUROC").replace("f1", "F1")


def _folded(short: str, long: str) -> str:
    return f"<details><summary>{short}</summary>{long}</details>"


def _plain(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}" if value < 10 else f"{value:g}"


def _signed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:+.3f}"


def _with_interval(line: pd.Series, show: Callable[[float], str]) -> str:
    if pd.isna(line.ours):
        return ""
    if not math.isfinite(line.low):  # of one class
        return show(line.ours)
    return f"{show(line.ours)} [{show(line.low)}, {show(line.high)}]"


def _figure(table: pd.DataFrame) -> plt.Figure:
    """Printed against ours, one panel per paper that has any of ours, an interval on each point."""
    plots.set_style()
    there = table[(table.kind == "number") & table.ours.notna() & table.metric.isin(UNIT)]
    papers = [paper for paper in NAMES if (there.paper == paper).any()]
    ends = (min(0.2, there[["printed", "ours"]].min().min() - 0.04), 1.02)  # every point within the axes
    figure, axes = plt.subplots(
        1, max(1, len(papers)), figsize=(9, 3.6), squeeze=False
    )  # one where nothing is recorded
    ticks = [0.2, 0.4, 0.6, 0.8, 1.0]
    for axis, paper in zip(axes[0], papers, strict=False):
        for verdict, (colour, mark) in MARKS.items():
            mine = there[(there.paper == paper) & (there.verdict == verdict)]
            errors = [mine.ours - mine.low, mine.high - mine.ours]
            axis.errorbar(mine.printed, mine.ours, errors, fmt="none", ecolor=colour, alpha=0.25, elinewidth=1)
            size = [70 if name == "mean" else 16 for name in mine.class_name]
            axis.scatter(mine.printed, mine.ours, s=size, c=colour, marker=mark, alpha=0.8)
        axis.axline((0, 0), slope=1, color="black", linewidth=0.8)
        axis.set(title=NAMES[paper], xlabel="printed", ylabel="ours", aspect="equal")
        axis.set(xticks=ticks, yticks=ticks, xlim=ends, ylim=ends)
    seen = [verdict for verdict in MARKS if (there.verdict == verdict).any()]
    marks = [axes[0, 0].scatter([], [], s=40, c=MARKS[verdict][0], marker=MARKS[verdict][1]) for verdict in seen]
    figure.legend(marks, seen, fontsize=10, loc="outside lower center", ncols=5, frameon=False)
    return figure
