"""The page of claims in a browser: the rows that a reader asks for, and verdicts by a reader's own rule."""

import io
import json

import pandas as pd
import pytest
from pages import HTML

from crossref import ROOT
from novelty_utils.ledger import claims, second_looks, verdicts
from novelty_utils.ledger.evidence import Evidence


@pytest.fixture(scope="module")
def ours() -> pd.DataFrame:
    return claims.ledger(ROOT / "results")


@pytest.fixture
def page(visits):
    """The page as it was opened."""
    page = visits["book/claims.html"].page
    yield page
    page.locator("form.rule").evaluate("form => form.reset()")
    page.locator("form.ledger").evaluate("form => { form.reset(); form.dispatchEvent(new Event('input')); }")


def count(page) -> dict[str, int]:
    """The table above the ledger: rows by verdict."""
    rows = page.locator("table.count tbody tr:not([hidden])")
    return dict(
        rows.evaluate_all("rows => rows.map(row => [row.cells[0].textContent, Number(row.cells[5].textContent)])")
    )


def test_the_ledger_on_the_page_is_that_of_the_committed_records(page, ours):
    linked = {
        name: page.locator(f'article a[href$="{name}"]').get_attribute("href") for name in ("claims.csv", "claims.json")
    }
    written = pd.read_csv(HTML / "book" / linked["claims.csv"], keep_default_na=False)
    now = pd.read_csv(io.StringIO(ours.to_csv(index=False)), keep_default_na=False)
    pd.testing.assert_frame_equal(written, now)
    assert len(json.loads((HTML / "book" / linked["claims.json"]).read_text(encoding="utf-8"))) == len(ours)
    assert count(page) == ours.verdict.value_counts().to_dict()
    once = ours[(ours.kind == "number") & ours.ours.notna() & (ours.same_as == "")]
    reproduced = (once.verdict == "reproduced").sum()
    said = f"{len(once)} different printed numbers were attempted, and {reproduced} are reproduced"
    assert said in page.locator("article").inner_text()


def seen(page) -> list[str]:
    """The ids of the rows of the ledger that a reader sees."""
    return page.locator("table.ledger tbody tr:not([hidden])").evaluate_all("rows => rows.map(row => row.id)")


def test_the_ledger_shows_what_was_attempted_and_whatever_else_is_asked_for(page, ours):
    form = page.locator("form.ledger")
    assert page.locator("table.ledger tbody tr").count() == len(ours)
    attempted = ours[ours.verdict != "not attempted"]
    assert sorted(seen(page)) == sorted(f"row-{row}" for row in attempted.index)
    form.locator("select").select_option("not attempted")
    assert form.locator("output").inner_text() == f"{len(ours) - len(attempted)} of {len(ours)} rows"
    form.locator("select").select_option("all")
    form.locator("input").fill("fashion PULLOVER cls")
    found = ours[(ours.dataset == "fashion_mnist") & (ours.class_name == "pullover") & (ours.method == "CLS")]
    assert sorted(seen(page)) == sorted(f"row-{row}" for row in found.index)
    assert len(found) > 1
    form.locator("input").fill("")
    form.locator("select").select_option("attempted")
    assert len(seen(page)) == len(attempted)


# --- a reader's own rule: Python comes to the same verdicts with other constants -----------------------------------


def judged(page) -> dict[int, str]:
    """The verdict of every row, by its place in the ledger."""
    rows = page.locator("table.ledger tbody tr").evaluate_all("rows => rows.map(row => [row.id, row.dataset.verdict])")
    return {int(name.removeprefix("row-")): verdict for name, verdict in rows}


def press(page, name: str, key: str, times: int) -> None:
    slider = page.locator(f"form.rule input[name={name}]")
    slider.focus()
    for _ in range(times):
        slider.press(key)


def by_another_rule(monkeypatch, margin: float, sigma: float) -> pd.DataFrame:
    """The ledger with the margins and the assumed deviations times these. What a second look found stays."""
    fixed = verdicts.margins()
    found = {
        look.claim: second_looks.second(look, Evidence(look.about.paper, ROOT / "results").records, ROOT / "results")
        for look in second_looks.looks()
    }
    monkeypatch.setattr(second_looks, "second", lambda look, *_: found[look.claim])
    ordering = {name: value * (1 if name == "fewest" else margin) for name, value in fixed.ordering.items()}
    moved = {
        "cell": {name: value * margin for name, value in fixed.cell.items()},
        "mean": {name: value * margin for name, value in fixed.mean.items()},
        "ordering": ordering,
        "seed_deviation": {name: value * sigma for name, value in fixed.seed_deviation.items()},
    }
    monkeypatch.setattr(verdicts, "margins", lambda: fixed.model_copy(update=moved))
    return claims.ledger(ROOT / "results")


def test_by_default_the_verdicts_are_those_of_the_committed_rule(page, ours):
    assert judged(page) == ours.verdict.to_dict()
    press(page, "margin", "ArrowRight", 1)
    press(page, "margin", "ArrowLeft", 1)  # there and back
    assert judged(page) == ours.verdict.to_dict()
    assert page.locator("form.rule output.moved").inner_text() == "This is the committed rule."


@pytest.mark.parametrize(("margin", "sigma"), [(4, -3), (-2, 4)])  # steps of half a point
def test_a_readers_rule_gives_the_verdicts_that_python_gives(page, ours, monkeypatch, margin, sigma):
    press(page, "margin", "ArrowRight" if margin > 0 else "ArrowLeft", abs(margin))
    press(page, "sigma", "ArrowRight" if sigma > 0 else "ArrowLeft", abs(sigma))
    theirs = by_another_rule(monkeypatch, 1 + margin * 0.5 / 3, 1 + sigma * 0.5 / 2)
    assert judged(page) == theirs.verdict.to_dict()
    assert count(page) == theirs.verdict.value_counts().to_dict()
    moved = (theirs.verdict != ours.verdict).sum()
    assert moved > 20
    assert page.locator("form.rule output.moved").inner_text().startswith(f"{moved} of ")
    page.locator("form.rule button").press("Enter")
    page.wait_for_function("document.querySelector('form.rule output.moved').value.startsWith('This')")
    assert judged(page) == ours.verdict.to_dict()
