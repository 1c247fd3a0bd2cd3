"""Text from folders and records is text on every page: a name that is HTML, Markdown or TeX shows as it is written."""

import re

import pandas as pd
import pytest
import torch

import book
import coverage_page
import holds_page
import ledger_page
import peeking_page
import second_looks_page
import times_page
from novelty_utils.data import datasets, defects, protocols
from novelty_utils.ledger import claims, headlines, tables
from novelty_utils.records import replications, store

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)>|`[a](b)*c*$d$&amp;"


def looks_harmless(text: str, markdown: bool = False) -> None:
    assert "<img" not in text
    if markdown:
        assert EVIL.split("|")[1] not in text
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def write(folder, seed: int, **changes) -> None:
    record = store.Record(
        version=1, paper="ics", tier="demo", dataset="mnist", class_name="0", seed=seed,
        parameters={"seed": seed, "tier": "demo", "epochs": EVIL}, data={"name": EVIL, "checksum": EVIL},
        results=[store.Result(method=name, metric="auroc", value=0.9, note=EVIL) for name in ("ICS", "CLS", EVIL)],
        training={name: {"seconds": 1, "precision": EVIL} for name in ("ICS", EVIL)},
        machine={"gpu": None, "cpu": EVIL, "threads": 1}, seconds=9.0, peak_memory_mb=1,
        code={"commit": None, "version": EVIL}, created="2000-01-01T00:00:00Z",
    )  # fmt: skip
    store.write(store.Record.model_validate(record.model_copy(update=changes).model_dump()), folder)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A clone's folder of records, some made again on other hardware."""
    monkeypatch.chdir(book.ROOT)
    for name in (*"0123456789", EVIL):
        for seed in (0, 1):
            write(tmp_path / "results", seed, class_name=name)
    write(tmp_path / "results", 0, dataset=EVIL)
    write(tmp_path / "results" / "repeats", 0, machine={"gpu": f"{EVIL} GPU", "cpu": EVIL, "threads": 1})
    return tmp_path / "results"


def test_no_page_that_is_made_of_records_can_be_broken_by_one(results, tmp_path, monkeypatch):
    table = claims.ledger(results)
    assert EVIL in table.hardware.str.cat(sep=" ")
    out = tmp_path / "out"
    ledger_page.write_parts(out, table, replications.read(results, "ics"))
    coverage_page.write_parts(out, results)
    peeking_page.write_parts(out, results)
    holds_page.write_parts(out, headlines.headlines(table, results))
    second_looks_page.write_parts(out, results, ledger_page.NAMES)
    written = {path.name: path.read_text() for path in out.rglob("*") if path.suffix in (".md", ".html")}
    monkeypatch.chdir(results.parent)
    written["times.md"] = times_page.times(["ics"])
    there = {name for name, text in written.items() if "onerror" in text}  # as text
    assert there >= {"claims_ics.html", "claims_repeats.md", "coverage_there.md", "times.md"}
    for name, text in written.items():
        looks_harmless(text, name.endswith(".md"))


def test_no_table_or_sentence_of_a_notebook_can_be_broken_by_a_name(results):
    rows = store.to_frame(store.read("ics", results))
    rows = rows.assign(hardware=EVIL)
    beside = tables.beside(rows[rows.dataset == "mnist"], ["ICS", EVIL])
    shown = tables.show(beside, caption=tables.runs(rows)).to_html()
    assert "onerror" in shown
    looks_harmless(shown)
    assert "<img" not in tables.Text(tables.runs(rows))._repr_markdown_()
    plain = pd.DataFrame({EVIL: [EVIL]}, index=pd.Index([EVIL], name="n"))
    looks_harmless(tables.show(plain).to_html())


def test_the_names_of_folders_are_text_in_the_cards_of_data_sets():
    images, labels = torch.zeros(20, 1, 2, 2, dtype=torch.uint8), torch.arange(20) % 2
    ds = datasets.Dataset("own", images, labels, torch.arange(20) >= 10, ("a", EVIL), "abc")
    looks_harmless(protocols.split("one_class", ds, 1, seed=0).card()._repr_html_())
    found = defects.Defects("own", "a", images[:3], "abc", torch.zeros(2, 2, 2, dtype=torch.uint8), ("good", EVIL))
    looks_harmless(tables.show(found.card(), {"defective pixels": "{:.2%}"}).to_html())


@pytest.mark.parametrize("path", sorted((book.ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_shows_its_tables_in_one_way(path):
    """`style.format` of pandas takes every name for HTML; `tables.show` does not."""
    own_words = {"ade_gan": 1}  # a table of what stands in the page itself
    assert len(re.findall(r"\.style\b", path.read_text())) == own_words.get(path.stem, 0)
