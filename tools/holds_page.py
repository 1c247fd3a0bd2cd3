"""The page "What holds up" and the README's rows: each paper's headline claim, from the ledger, and one picture.

python tools/holds_page.py    # writes the README's rows and its picture anew, after new records
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from crossref import ROOT
from ledger_page import MARKS, NAMES
from novelty_utils.evaluation import plots
from novelty_utils.files import write_atomically
from novelty_utils.ledger import claims, verdicts
from novelty_utils.ledger.headlines import Headline, headlines
from novelty_utils.params import CLASSES

README, PICTURE = ROOT / "README.md", ROOT / "book" / "_static" / "holds.png"
START, END = "<!-- rows from the ledger: python tools/holds_page.py -->\n", "<!-- end of rows -->\n"
HEAD = ["claim", "printed", "ours [95 %]", "best simple rival", "verdict", "runs"]
DATA = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
NORMAL = {"one_class": "one normal class", "simo": "one normal class", "miso": "nine normal classes"}


def write_parts(folder: Path, rows: Sequence[Headline]) -> None:
    """Into `folder`: holds_answer.md, holds_rows.html and holds.png, for book/holds.md."""
    for name, text in {"holds_answer.md": answer(rows), "holds_rows.html": page_table(rows)}.items():
        write_atomically(folder / name, lambda file, text=text: file.write(text.encode()))
    save(rows, folder / "holds.png")


def answer(rows: Sequence[Headline]) -> str:
    """The counts that the page opens with."""
    rows = [one for one in rows if one.claim]
    reproduced = sum(one.verdict == verdicts.REPRODUCED for one in rows)
    refuted = sum(one.verdict == verdicts.NOT_REPRODUCED for one in rows)
    known = [one for one in rows if not math.isnan(one.ours + one.rival_auroc)]
    ahead = sum(one.low > one.rival_auroc for one in known)
    said = f"**Of {len(rows)} headline claims {reproduced} {_is(reproduced)} reproduced and {refuted} {_is(refuted)} "
    said += f"refuted.** {ahead} of {len(known)} methods {_is(ahead)} ahead of the best baseline without a network "
    return said + "by more than the interval.\n"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def page_table(rows: Sequence[Headline]) -> str:
    """A row per headline claim, in HTML: on a phone a cell stands below the other, with the name of its column."""
    head = "".join(f"<th>{column}</th>" for column in HEAD)
    lines = []
    for one in rows:
        cells = zip(HEAD, _words(one), strict=True)
        lines += ["".join(f'<td data-column="{c}">{in_the_book(c, one, words)}</td>' for c, words in cells)] * bool(
            one.claim
        )
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<table class="table stack"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n'


def readme_table(rows: Sequence[Headline]) -> str:
    """The same rows in Markdown, for the README."""
    lines = [HEAD, ["---", "--:", "--:", "--:", "---", "---"]]
    for one in rows:
        cells = zip(HEAD, _words(one), strict=True)
        lines += [[in_the_readme(column, one, words) for column, words in cells]] * bool(one.claim)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _words(one: Headline) -> list[str]:
    """What stands in the columns of HEAD."""
    about = one.claim if math.isnan(one.printed) else f"{NAMES[one.paper]}: AUROC on {DATA[one.dataset]}"
    about += f", {NORMAL[one.protocol]} ({one.where.split(',')[0]})"
    printed = "none" if math.isnan(one.printed) else f"{one.printed:.3f}"
    if not one.tier:
        return [about, printed, "not run", "", one.verdict, ""]
    ours = f"{one.ours:.3f} [{one.low:.3f}, {min(one.high, 1):.3f}]"
    rival = "not run" if math.isnan(one.rival_auroc) else f"{one.rival_auroc:.3f} {one.rival}"
    of = len(CLASSES[one.dataset])
    runs = f"{one.tier}, {one.seeds} seed{'s' * (one.seeds > 1)}" + f", {one.classes} of {of} classes" * (
        one.classes < of
    )
    return [about, printed, ours, rival, one.verdict, runs]


def in_the_book(column: str, one: Headline, words: str) -> str:
    """Evidence of a number: the paper's page, the ledger, the leaderboard, the second look, what a tier is."""
    paper, row = f"../notebooks/{one.paper}.html", f"claims.html#row-{one.row}"
    to = {
        "claim": paper, "printed": row, "ours [95 %]": row,
        "best simple rival": "../notebooks/leaderboard.html#the-leaderboard", "verdict": "claims.html#second-looks",
        "runs": "#numbers",
    }  # fmt: skip
    return f'<a class="reference internal" href="{to[column]}">{words}</a>' if words else ""


def in_the_readme(column: str, one: Headline, words: str) -> str:
    to = {
        "claim": f"notebooks/{one.paper}.ipynb", "printed": f"novelty_utils/ledger/published/{one.paper}.csv",
        "ours [95 %]": f"results/{one.paper}/{one.dataset}", "verdict": "book/claims.md",
        "best simple rival": f"results/leaderboard/{one.dataset}", "runs": "book/holds.md",
    }  # fmt: skip
    return f"[{words}]({to[column]})" if words else ""


def picture(rows: Sequence[Headline]) -> Figure:
    """One line per claim: printed, ours with its interval, and the rival, on one axis."""
    plots.set_style()
    figure, axis = plt.subplots(figsize=(9, 1.1 + 0.28 * len(rows)))
    for y, one in enumerate(rows):
        colour, mark = MARKS.get(one.verdict, ("gray", "o"))
        axis.plot([one.printed, one.ours], [y, y], color="#bbbbbb", linewidth=1, zorder=1)
        axis.plot([one.low, min(one.high, 1)], [y, y], color=colour, linewidth=3, alpha=0.5, zorder=2)
        axis.scatter(one.ours, y, s=70, color=colour, marker=mark, zorder=4)
        axis.scatter(one.printed, y, s=70, facecolor="white", edgecolor="black", zorder=3)
        axis.scatter(one.rival_auroc, y, s=60, color="black", marker="x", zorder=3)
    names = [f"{NAMES[one.paper]}, {DATA[one.dataset]}, {NORMAL[one.protocol]}" for one in rows]
    axis.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5), xlabel="AUROC")
    for label, one in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if one.claim else "normal")
    _legend(figure, axis, rows)
    return figure


def _legend(figure: Figure, axis: plt.Axes, rows: Sequence[Headline]) -> None:
    marks = [
        axis.scatter([], [], s=70, facecolor="white", edgecolor="black", label="printed"),
        axis.scatter([], [], s=60, color="black", marker="x", label="best simple rival"),
    ]
    for verdict in dict.fromkeys(one.verdict for one in rows if one.tier):
        colour, mark = MARKS[verdict]
        marks.append(axis.scatter([], [], s=70, color=colour, marker=mark, label=f"ours: {verdict}"))
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=10, frameon=False)


def save(rows: Sequence[Headline], path: Path) -> None:
    """The picture, and in it as text what it was drawn from."""
    figure = picture(rows)
    drawn = {"Description": fingerprint(rows)}
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=130, metadata=drawn))
    plt.close(figure)


def fingerprint(rows: Sequence[Headline]) -> str:
    """What the picture shows of each row, to the third decimal."""
    shown = [[one.paper, one.dataset, one.protocol, one.verdict, *map(_third, _drawn(one))] for one in rows]
    return json.dumps(shown)


def _drawn(one: Headline) -> list[float]:
    return [one.printed, one.ours, one.low, one.high, one.rival_auroc]


def _third(value: float) -> str:
    return f"{value:.3f}"


def drawn_from(path: Path) -> str:
    """The fingerprint in a picture that `save` has written."""
    with Image.open(path) as image:
        return image.info["Description"]


def in_step(text: str, rows: Sequence[Headline]) -> str:
    """The README with the answer and the rows of this ledger."""
    before, rest = text.split(START)
    return f"{before}{START}\n{answer(rows)}\n{readme_table(rows)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    rows = headlines(claims.ledger(ROOT / "results"), ROOT / "results")
    README.write_text(in_step(README.read_text(encoding="utf-8"), rows), encoding="utf-8")
    if not PICTURE.exists() or drawn_from(PICTURE) != fingerprint(rows):
        save(rows, PICTURE)


if __name__ == "__main__":
    main()
