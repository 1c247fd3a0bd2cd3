"""The parts of the page of claims that are computed: the tables, the figure and the files to download."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from pathlib import Path

import itables
import matplotlib.pyplot as plt
import pandas as pd
from itables import to_html_datatable
from itables.javascript import generate_init_offline_itables_html

from novelty_utils.evaluation import plots
from novelty_utils.files import write_atomically
from novelty_utils.ledger import claims, verdicts
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
    verdicts.NOT_REPRODUCED: ("#d55e00", "v"),
}
OUTSIDE = [verdicts.BELOW, verdicts.ABOVE, verdicts.OPEN, verdicts.CONTESTED, verdicts.NOT_REPRODUCED]
NO_BREAK_SPACE, NO_BREAK_HYPHEN = "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}"
NO_MODULES = {"notebook", "images", "parameters", "history missing", "uncommitted code"}  # else a module of the package
UNIT = {"auroc", "balanced_accuracy", "f1", "pixel_auroc"}  # metrics that share the axes of the figure
BUNDLE = Path(itables.__file__).parent / "html" / "dt_bundle.js"  # the program of the tables, put into the page
LAYOUT = {
    "connected": False, "allow_html": True, "showIndex": False, "maxBytes": 0, "column_filters": "header",
    "classes": "display compact", "autoWidth": False,
}  # fmt: skip


def write_parts(folder: Path, table: pd.DataFrame, repeated: list[Repeat]) -> None:
    """Into `folder`: claims_*.md, claims_{orders,PAPER}.html and claims.{png,csv,json}, for book/claims.md."""
    claims.write(table, folder)
    _text(folder / "claims_summary.md", _summary(table))
    _text(folder / "claims_reading.md", _reading(table))
    _text(folder / "claims_seeds.md", _seeds(table))
    _text(folder / "claims_changed.md", _changed(table))
    _text(folder / "claims_repeats.md", _repeats(repeated))
    start = generate_init_offline_itables_html(BUNDLE)
    _text(folder / "claims_orders.html", start + _datatable(_orders(table), "claims-orders"))
    for paper in NAMES:
        numbers = table[(table.paper == paper) & (table.kind == "number")]
        _text(folder / f"claims_{paper}.html", _datatable(_numbers(numbers), f"claims-{paper.replace('_', '-')}"))
    figure = _figure(table)
    write_atomically(folder / "claims.png", lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)


def _text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _summary(table: pd.DataFrame) -> str:
    """How many claims of which paper and place have which verdict, in Markdown."""
    counts = claims.summary(table)
    lines = [["paper", "where", *counts.columns], ["---", "---", *["--:"] * len(counts.columns)]]
    for (paper, where), row in zip(counts.index, counts.to_numpy(), strict=True):
        lines.append([NAMES[paper].replace("-", NO_BREAK_HYPHEN), where.replace(" ", NO_BREAK_SPACE), *map(str, row)])
    lines += [["**all**", "", *(f"**{total}**" for total in counts.sum())]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _reading(table: pd.DataFrame) -> str:
    """What the counts of verdicts rest on, in a few sentences."""
    numbers = table[(table.kind == "number") & (table.verdict != verdicts.NOT_ATTEMPTED)]
    if numbers.empty:
        return "No printed number has been attempted yet.\n"
    once = numbers[numbers.same_as == ""]
    trained, mixed = once[once.trained.astype(bool)], once[once.verdict == verdicts.MIXED]
    reproduced, of_trained = ((rows.verdict == verdicts.REPRODUCED).sum() for rows in (once, trained))
    lone = mixed.reason.str.contains("one seed cannot tell").sum()
    outside = once[once.verdict.isin(OUTSIDE)]
    above = (outside.difference > 0).sum()
    said = f"**{len(once)} different printed numbers were attempted, and {reproduced} are reproduced.** "
    said += f"Of the {len(trained)} that belong to a trained method, {of_trained} are. "
    said += f"{len(outside) - above} of ours lie below the printed number and {above} above it, beyond the margin. "
    said += (
        f"Of the {len(mixed)} mixed ones {lone} rest on one seed, which can never show that a number is the printed "
    )
    said += f"one. {len(numbers) - len(once)} more rows repeat one of these numbers or show another recipe beside it.\n"
    return said


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
            one.method,
            _words(one.metric),
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
        name = NAMES.get(one.first.paper, _words(one.first.paper)).replace("-", NO_BREAK_HYPHEN)
        words = [
            name,
            ", ".join(_words(word) for word in about if word),
            commits,
            str(one.compared),
            f"{100 * one.largest:.2g}",
            hardware,
        ]
        lines.append(f"| {' | '.join(words)} |\n")
    return "".join(lines)


def _datatable(table: pd.DataFrame, name: str) -> str:
    """A searchable table, each column with a filter of its own; it needs no network."""
    wide = [number for number, column in enumerate(table.columns) if column in ("claim", "why", "recipe")]
    classes = [{"className": "dt-left wide", "targets": wide}, {"className": "dt-left", "targets": "_all"}]
    return f'<div class="full-width">{to_html_datatable(table, table_id=name, columnDefs=classes, **LAYOUT)}</div>'


def _orders(table: pd.DataFrame) -> pd.DataFrame:
    orders = table[table.kind != "number"]
    ours = [_with_interval(line, _signed) for line in _lines(orders)]
    about = {"paper": orders.paper.map(NAMES), "claim": orders.claim, "verdict": orders.verdict}
    about |= {"data": orders.dataset.map(_words), "metric": orders.metric.map(_words)}
    values = {"ours": ours, "margin": orders.margin.map(_plain), "printed": orders.printed.map(_signed)}
    return pd.DataFrame(about | values | {"where": orders["where"]} | _common(orders))


def _numbers(numbers: pd.DataFrame) -> pd.DataFrame:
    words = {name: numbers[name].map(_words) for name in ("where", "dataset", "class_name", "method", "metric")}
    ours = [_with_interval(line, _plain) for line in _lines(numbers)]
    values = {"printed": numbers.printed.map(_plain), "ours": ours, "difference": numbers.difference.map(_signed)}
    values |= {"margin": numbers.margin.map(_plain), "verdict": numbers.verdict}
    words["method"] += numbers.claim.str.extract(r"( \(worked out.*\))", expand=False).fillna("")
    settings = {"setting": numbers.setting.replace("default", "").map(_words)}
    table = pd.DataFrame(words | values | settings | _common(numbers))
    return table.rename(columns={"dataset": "data", "class_name": "class"})


def _common(table: pd.DataFrame) -> dict[str, pd.Series]:
    empty = table[["tier", "recipe", "same_as", "stale", "command"]].astype(object).fillna("")
    return {
        "why": table.reason + empty.same_as.map(lambda text: f"; counted once: {text}" if text else ""),
        "tier": empty.tier,
        "recipe": empty.recipe,
        "seeds": table.seeds.map(lambda n: "" if pd.isna(n) else f"{n:.0f}"),
        "changed since": empty.stale.map(_changes),
        "command": empty.command.map(_command),
    }


def _words(name: str) -> str:
    """A recorded name for readers, with places where a line may break."""
    return name.replace("_", " ").replace(";", "; ")


def _command(command: str) -> str:
    return command and _folded("show", f"<code>{html.escape(command)}</code>")


def _changes(stale: str) -> str:
    if not stale:
        return ""
    changed = stale.split(", ")
    modules = [name for name in changed if name not in NO_MODULES]
    counted = f"{len(modules)} module{'s' * (len(modules) > 1)}"
    words = [name for name in changed if name not in modules] + [counted] * bool(modules)
    return _folded(", ".join(words), ", ".join(modules)) if modules else ", ".join(words)


def _folded(short: str, long: str) -> str:
    return f"<details><summary>{short}</summary>{long}</details>"


def _lines(table: pd.DataFrame) -> list[pd.Series]:
    return [line for _, line in table.iterrows()]


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
    """Printed against ours, one panel per paper and metric that has any of ours, an interval on each point."""
    plots.set_style()
    there = table[(table.kind == "number") & table.ours.notna() & table.metric.isin(UNIT)]
    groups = there.groupby(["paper", "metric"])
    panels = sorted(groups, key=lambda panel: list(NAMES).index(panel[0][0]))
    rows = max(1, -(-len(panels) // 2))  # one without any panel where nothing is recorded
    ends = (min(0.2, there[["printed", "ours"]].min().min() - 0.04), 1.02)  # every point within the axes
    figure, axes = plt.subplots(rows, 2, figsize=(8, 4 * rows), squeeze=False)
    for axis, ((paper, metric), points) in zip(axes.flat, panels, strict=False):
        for verdict, (colour, mark) in MARKS.items():
            mine = points[points.verdict == verdict]
            errors = [mine.ours - mine.low, mine.high - mine.ours]
            axis.errorbar(mine.printed, mine.ours, errors, fmt="none", ecolor=colour, alpha=0.25, elinewidth=1)
            size = [70 if name == "mean" else 16 for name in mine.class_name]
            axis.scatter(mine.printed, mine.ours, s=size, c=colour, marker=mark, alpha=0.8)
        axis.axline((0, 0), slope=1, color="black", linewidth=0.8)
        title = f"{NAMES[paper]}: {metric.replace('_', ' ').replace('auroc', 'AUROC')}"
        axis.set(title=title, xlabel="printed", ylabel="ours", aspect="equal", xlim=ends, ylim=ends)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    marks = [axes[0, 0].scatter([], [], s=30, c=colour, marker=mark) for colour, mark in MARKS.values()]
    axes[0, 0].legend(marks, list(MARKS), fontsize=8, loc="lower right")
    return figure
