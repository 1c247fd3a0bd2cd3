"""Nobody is trapped in jupyter-book: Sphinx with MyST-NB alone builds the same sources, by what _config.yml says."""

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

from crossref import ROOT

pytestmark = pytest.mark.slow

PAGES = ("book/notation.md", "book/glossary.md", "notebooks/crbnd.py")
EXTENSIONS = ["myst_nb", "sphinx_design", "sphinxcontrib.bibtex", "sphinx_togglebutton"]  # and nothing of jupyter-book
MISSING = ["myst.xref_missing", "ref.doc", "ref.ref", "ref.numref", "ref.eq"]  # what points at the pages left out here


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The HTML of three pages; a warning ends the build. Notebooks are not run: that is book.py's part."""
    folder = tmp_path_factory.mktemp("plain")
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    kept = {name: value for name, value in config["sphinx"]["config"].items() if not name.startswith("html_")}
    kept |= config["parse"] | {"bibtex_bibfiles": [str(ROOT / name) for name in config["bibtex_bibfiles"]]}
    kept |= {"extensions": EXTENSIONS, "suppress_warnings": MISSING, "nb_execution_mode": "off", "root_doc": "index"}
    (folder / "conf.py").write_text("".join(f"{name} = {value!r}\n" for name, value in kept.items()))
    listed = "".join(f"{page.rpartition('.')[0]}\n" for page in PAGES)
    bibliography = "```{bibliography}\n```\n"
    (folder / "index.md").write_text(f"# Start\n\n```{{toctree}}\n{listed}```\n\n{bibliography}", encoding="utf-8")
    for page in PAGES:
        text, target = (ROOT / page).read_text(encoding="utf-8"), folder / page
        target.parent.mkdir(exist_ok=True)
        if target.suffix == ".py":
            nbformat.write(jupytext.reads(text, fmt="py:percent"), target.with_suffix(".ipynb"))
        else:
            target.write_text(text, encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-W",
        "--keep-going",
        "-q",
        str(folder),
        str(folder / "html"),
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "html"


@pytest.mark.parametrize("page", PAGES)
def test_equations_boxes_and_formulas_of_a_page_are_set(built, page):
    source = (ROOT / page).read_text(encoding="utf-8")
    html = (built / page).with_suffix(".html").read_text(encoding="utf-8")
    labels = re.findall(r"^(?:# )?:label: (\S+)$", source, re.MULTILINE)
    assert [label for label in labels if f'id="equation-{label}"' not in html] == []
    boxes = len(re.findall(r"^(?:# )?(?:```+|:::+)\{(?:admonition|note|tip|warning|important)\}", source, re.MULTILINE))
    assert len(re.findall(r'class="[^"]*\badmonition\b', html)) >= boxes
    assert len(re.findall('class="math notranslate', html)) >= (2 if "glossary" in page else 30)
    assert not re.search(
        r"\{(?:eq|cite:[pt]|doc|numref|math|admonition)\}", re.sub("<pre>.*?</pre>", "", html, flags=re.S)
    )


def test_a_notebook_has_its_code_folded_where_it_is_not_the_lesson(built):
    html = (built / "notebooks" / "crbnd.html").read_text(encoding="utf-8")
    source = (ROOT / "notebooks" / "crbnd.py").read_text(encoding="utf-8")
    assert html.count("<details") >= source.count('"hide-input"') > 5
