"""The paired notebooks: every construct becomes plain Markdown, anything else is refused, same source same bytes."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import parse_string

from crossref import ROOT, Book, read_book
from lower import RefusedMystError, lower_cells
from pair import pair, render

REFERENCES = r"""
@misc{one, author = {M{\"u}ller, Ada}, year = {2001}, eprint = {2001.00001}, archiveprefix = {arXiv}}
@article{two, author = {von der Aa, Bo and Bee, Cy}, year = {2002}, doi = {10.1/x}, url = {https://example.org/two}}
@book{many, author = {Cee, D. and Dee, E. and Eff, G.}, year = {2003}}
"""
BOOK = Book(
    site="https://example.org/book/",
    repository="https://github.com/owner/name",
    branch="main",
    references=parse_string(REFERENCES, "bibtex"),
    titles={"book/metrics": "Metrics and rules", "notebooks/ics": "ICS"},
    labels={"sec_auroc": ("book/metrics", "The AUROC")},
)
FIGURE = {"figure": {"name": "fig-x", "caption": "Codes $z_i$, see {eq}`eq-x`."}, "image": {"alt": "Two clouds"}}


def lowered(text: str) -> str:
    return lower_cells([new_markdown_cell(text)], "notebooks/ics", BOOK)[0]


def refused(text: str) -> str:
    with pytest.raises(RefusedMystError) as error:
        lowered(text)
    return str(error.value)


def figure(mystnb: dict) -> nbformat.NotebookNode:
    return new_code_cell("plt.show()", metadata={"mystnb": mystnb})


# --- equations -----------------------------------------------------------------------------------------------------


def test_labelled_equations_are_numbered_in_document_order_and_references_may_look_ahead():
    text = """See {eq}`eq-b`.

```{math}
:label: eq-a
a = 1
```

$$ free = 0 $$

$$
b = 2
$$ (eq-b)

By {eq}`eq-a`."""
    expected = """See (2).

$$
a = 1 \\tag{1}
$$

$$
free = 0
$$

$$
b = 2 \\tag{2}
$$

By (1)."""
    assert lowered(text) == expected


def test_a_formula_of_several_lines_is_split_as_sphinx_does():
    assert lowered("$$\na &= b \\\\\n  &= c\n$$ (eq-x)") == (
        "$$\n\\begin{split}\na &= b \\\\\n  &= c\n\\end{split} \\tag{1}\n$$"
    )


def test_a_formula_in_a_list_keeps_its_indentation():
    assert lowered("- item\n\n  $$ x $$ (eq-x)\n\n  more") == "- item\n\n  $$\n  x \\tag{1}\n  $$\n\n  more"


def test_a_formula_in_a_quotation_stays_on_one_line():
    text = ":::{note}\nLet\n\n$$\nx\n= y\n$$ (eq-x)\n\n:::"
    assert "> $$ x = y \\tag{1} $$" in lowered(text).split("\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{eq}`eq-x`", "'eq-x' is not one of this notebook's equations: none"),
        ("$$ x $$ (eq-x)\n\n$$ y $$ (eq-x)", "label 'eq-x' is used twice"),
        ("```{math}\nx\n\ny\n```", "no blank line"),
        ("```{math}\nx % why\n```", "no % comment"),
        ("```{math}\n:nowrap:\nx\n```", "option :nowrap: of {math}"),
        ("Let\n$$\nx\n$$ (eq-x)\nbe", "needs a blank line before and after it"),
        ("- $$ x $$ (eq-x)", "starts its own line, not after -"),
        ("> $$ x $$ (eq-x)", "starts its own line, not after - or >"),
        ("\\begin{align}\nx\n\\end{align}", "write ```{math} instead"),
    ],
)
def test_a_formula_that_would_go_wrong_is_refused(text, complaint):
    assert complaint in refused(text)


# --- figures -------------------------------------------------------------------------------------------------------


def test_figures_are_numbered_and_captioned_across_cells():
    second = {"figure": {"name": "fig-y", "caption": "Second, after {numref}`fig-x`."}, "image": {"alt": "A line"}}
    cells = [new_markdown_cell("{numref}`fig-y`\n\n$$ x $$ (eq-x)"), figure(FIGURE), new_code_cell("1"), figure(second)]
    assert lower_cells(cells, "notebooks/ics", BOOK) == [
        "Fig. 2\n\n$$\nx \\tag{1}\n$$",
        "**Fig. 1.** Codes $z_i$, see (1).",
        "",
        "**Fig. 2.** Second, after Fig. 1.",
    ]


@pytest.mark.parametrize(
    "mystnb",
    [
        {"figure": {"name": "fig-x", "caption": "No alt text."}},
        {"figure": {"name": "fig-x"}, "image": {"alt": "No caption"}},
        {"figure": {"caption": "No name."}, "image": {"alt": "A line"}},
    ],
)
def test_a_figure_without_name_caption_or_alt_text_is_refused(mystnb):
    with pytest.raises(RefusedMystError, match="a figure needs"):
        lower_cells([figure(mystnb)], "notebooks/ics", BOOK)


def test_an_unknown_figure_is_refused():
    assert "'fig-z' is not one of this notebook's figures" in refused("{numref}`fig-z`")


# --- citations and links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cite:t}`one`", "[Müller (2001)](https://arxiv.org/abs/2001.00001)"),
        ("{cite:p}`two`", "([von der Aa and Bee, 2002](https://doi.org/10.1/x))"),
        ("{cite:t}`many`", "Cee et al. (2003)"),
        ("{cite:p}`many,one`", "(Cee et al., 2003; [Müller, 2001](https://arxiv.org/abs/2001.00001))"),
        ("{doc}`../book/metrics`", "[Metrics and rules](https://example.org/book/book/metrics.html)"),
        ("{doc}`the\nrules <../book/metrics>`", "[the rules](https://example.org/book/book/metrics.html)"),
        ("{ref}`sec_auroc`", "[The AUROC](https://example.org/book/book/metrics.html#sec-auroc)"),
        ("{ref}`AUROC <sec_auroc>`", "[AUROC](https://example.org/book/book/metrics.html#sec-auroc)"),
    ],
)
def test_citations_and_links(text, expected):
    assert lowered(f"See {text}.") == f"See {expected}."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{cite:t}`nobody`", "'nobody' is not in the list of references"),
        ("{doc}`../book/nowhere`", "'../book/nowhere' is not a page of the book"),
        ("{ref}`sec-nowhere`", "(sec-nowhere)= stands before no heading"),
        ("[rules](../book/metrics.md)", "write {doc}`text <../book/page>`"),
        ("![](https://example.org/x.png)", "image"),
    ],
)
def test_a_link_that_leads_nowhere_is_refused(text, complaint):
    assert complaint in refused(text)


# --- admonitions and the rest --------------------------------------------------------------------------------------


def test_admonitions_become_quotations():
    text = "```{admonition} Key idea\n:class: tip\nFar is novel.\n\n- {cite:t}`many`\n```\n"
    assert lowered(text) == "> **Key idea**\n>\n> Far is novel.\n>\n> - Cee et al. (2003)"
    assert lowered(":::{note}\nMind.\n:::") == "> **Note**\n>\n> Mind."
    assert lowered("```{warning} Mind\nthe gap.\n```") == "> **Warning**\n>\n> Mind\n> the gap."


def test_a_nested_admonition_and_its_listing():
    text = "::::{tip}\n:::{note}\nInner.\n:::\n\n```python\nx = {'{eq}`no`': 1}\n```\n::::"
    assert lowered(text) == (
        "> **Tip**\n>\n> > **Note**\n> >\n> > Inner.\n>\n> ```python\n> x = {'{eq}`no`': 1}\n> ```"
    )


def test_a_dropdown_unfolds():
    text = "```{admonition} Hint\n:class: dropdown\nLook $x$.\n```"
    assert lowered(text) == "<details><summary>Hint</summary>\n\nLook $x$.\n\n</details>"


def test_targets_and_comments_are_dropped():
    assert lowered("(sec-x)=\n## Title <!-- aside -->\n\n<!-- a\nb -->\n\nText") == "## Title \n\n\nText"


def test_plain_markdown_and_code_are_left_alone():
    text = (
        "# T\n\na *b* `{eq}` ``{ref}`x` `` [l](https://example.org) $a_i$\n\n| a |\n|---|\n| 1 |\n\n~~~\n{eq}`x`\n~~~"
    )
    assert lowered(text) == text


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("{math}`x`", "role '{math}`x`'"),
        ("{glue:text}`auroc`", "role '{glue:text}`auroc`'"),
        ("```{figure} x.png\n```", "directive {figure}"),
        (":::{exercise}\nx\n:::", "directive {exercise}"),
        ("- item\n\n  ```{list-table}\n  * - x\n  ```", "directive {list-table}"),
        ("```{note}\n:name: x\ny\n```", "option :name: of {note}"),
        ("```{note}\n```{table} x\n```", "{note}"),
        ("a {{ name }}", "substitution_inline"),
        ("a[^1]\n\n[^1]: b", "footnote_ref"),
        ("+++", "myst_block_break"),
        ("% aside", "myst_line_comment"),
        ("Term\n: Text", "dl_open"),
        ("<b>x</b>", "html_inline"),
        ("<div>\nx\n</div>", "write Markdown instead of HTML"),
    ],
)
def test_any_other_construct_is_refused_by_name(text, construct):
    complaint = refused(text)
    assert construct in complaint
    assert complaint.startswith("cell 1 (")


# --- the file ------------------------------------------------------------------------------------------------------

SOURCE = """# %% [markdown]
# # Title
#
# {eq}`eq-x`
#
# $$ x $$ (eq-x)

# %% tags=["parameters"]
n = 1

# %% mystnb={"figure": {"caption": "Codes.", "name": "fig-x"}, "image": {"alt": "Two clouds"}}
plt.show()
"""


def test_the_notebook_has_a_badge_a_caption_cell_stable_ids_and_no_pairing():
    installing = SOURCE + '\n# %% tags=["colab"]\nimport sys\n'
    notebook = nbformat.reads(render(installing, "notebooks/ics", BOOK), as_version=4)
    nbformat.validate(notebook)
    title, code, plot, caption, _ = notebook.cells
    address = "https://colab.research.google.com/github/owner/name/blob/main/notebooks/ics.ipynb"
    assert title.source.split("\n")[2].endswith(f"({address})")
    assert (code.metadata, plot.metadata) == ({"tags": ["parameters"]}, {})
    assert caption.source == "**Fig. 1.** Codes."
    assert len({cell.id for cell in notebook.cells}) == 5
    assert notebook.metadata.kernelspec.name == "python3"
    assert "jupytext" not in notebook.metadata


def test_a_notebook_that_installs_nothing_has_no_badge():
    notebook = nbformat.reads(render(SOURCE, "notebooks/ics_evidence", BOOK), as_version=4)
    assert "colab" not in notebook.cells[0].source


def test_the_same_source_gives_the_same_bytes():
    assert render(SOURCE, "notebooks/ics", BOOK) == render(SOURCE, "notebooks/ics", BOOK)


def test_a_changed_cell_changes_its_own_id_only():
    before, after = (
        [cell["id"] for cell in json.loads(render(text, "notebooks/ics", BOOK))["cells"]]
        for text in (SOURCE, SOURCE.replace("n = 1", "n = 2"))
    )
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]


def test_a_notebook_without_a_title_is_refused():
    with pytest.raises(RefusedMystError, match="cell 1 is not a Markdown cell that starts with the title"):
        render("# %%\nx = 1\n", "notebooks/ics", BOOK)


@pytest.fixture
def clone(tmp_path):
    """A small clone: configuration, references and one notebook."""
    for name in ("_config.yml", "book/references.bib"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "x.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_pairing_writes_once_and_check_writes_nothing(clone):
    paired = clone / "notebooks" / "x.ipynb"
    assert pair(clone, check=True) == ["notebooks/x.ipynb is out of step with notebooks/x.py: run `make pair`"]
    assert not paired.exists()
    assert pair(clone, check=False) == ["wrote notebooks/x.ipynb"]
    assert pair(clone, check=True) == []
    paired.write_text(paired.read_text().replace("n = 1", "n = 2"))
    assert len(pair(clone, check=True)) == 1


def test_a_paired_notebook_without_source_is_refused(clone):
    (clone / "notebooks" / "y.ipynb").write_text("{}")
    with pytest.raises(RefusedMystError, match=re.escape("notebooks/y.ipynb has no source y.py")):
        pair(clone, check=False)


def test_a_refusal_names_the_file(clone):
    (clone / "notebooks" / "x.py").write_text("# %% [markdown]\n# # T\n# {sub}`x`\n")
    with pytest.raises(RefusedMystError, match=r"notebooks/x\.py: cell 1 .*role '\{sub\}`x`'"):
        pair(clone, check=False)


def test_pages_and_labels_of_a_clone_are_found(clone):
    (clone / "book" / "metrics.md").write_text("# Metrics\n\n(sec-a)=\n(sec-b)=\n## The *AUROC*\n\n(lost)=\ntext\n")
    book = read_book(clone)
    assert book.titles == {"book/metrics": "Metrics", "notebooks/x": "Title"}
    assert book.labels == dict.fromkeys(("sec-a", "sec-b"), ("book/metrics", "The *AUROC*"))


# --- what is committed ---------------------------------------------------------------------------------------------

PAIRED = sorted(ROOT.glob("notebooks/*.ipynb"))
RAW = re.compile(
    r"\{[\w:+.-]+\}`+[^`\s]|^\s*(`{3,}|:{3,})\s*\{|^\s*:::|^\([\w-]+\)=$|\$\$ *\([\w-]+\)|<!--", re.MULTILINE
)


def test_there_are_paired_notebooks_and_all_are_in_step():
    assert PAIRED
    assert pair(ROOT, check=True) == []


@pytest.mark.parametrize("path", PAIRED, ids=lambda path: path.name)
def test_a_committed_notebook_has_no_outputs_and_shows_no_raw_myst(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        else:
            assert not RAW.findall(cell.source), cell.source
