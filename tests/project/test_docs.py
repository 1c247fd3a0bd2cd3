"""The examples printed on the pages give what the pages say, and the list of sweeps is that of the files."""

import doctest
import re
from pathlib import Path

import pytest

from novelty_utils.runs import sweep_file

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "book").glob("*.md")) if ">>> " in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_are_true(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert tried and not failed


def test_there_are_examples():
    assert PAGES


def test_the_page_on_sweeps_lists_every_file_with_its_runs_and_data_sets(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "book" / "howto-sweep.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.yml)` \| .+ \| (\d+) \| ([\w, ]+) \|$", page, re.MULTILINE)
    assert len(rows) == page.count(".yml` |")  # none is passed over
    said = {file: (int(count), set(names.split(", "))) for file, count, names in rows}
    assert len(said) == len(rows)
    true = {}
    for file in (ROOT / "sweeps").glob("*.yml"):
        listed = sweep_file.read(file, {})
        true[file.name] = len(listed), {job.parameters.dataset for job in listed}
    assert said == true
