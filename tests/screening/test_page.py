"""The page that tells how: its commands give what it prints, and its sentences are true of them."""

import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import screening_page
from novelty_utils import detectors, screening
from novelty_utils.detectors import EXAMPLE_BYTES, EXAMPLES
from novelty_utils.screening import report, scoring
from novelty_utils.training import loop

TEXT = screening_page.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Path:
    """A folder in which everything on the page was run; the page is as it would be written now."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "page.md").write_text(screening_page.walked(TEXT, folder), encoding="utf-8")
    return folder


def test_the_commands_print_what_the_page_says(walk):
    now = (walk / "page.md").read_text(encoding="utf-8")
    assert screening_page.untimed(now) == screening_page.untimed(TEXT), "run python tools/screening_page.py"
    assert TEXT.count("\nsaved: ") == TEXT.count("\nreport: ") == 1


def test_what_it_says_of_the_boots_is_so(walk):
    rows = pd.read_csv(walk / "found/scores.csv")
    boots = rows.path.str.contains("ankle_boot")
    assert "Eight of the ten boots are among the ten images with the highest scores" in " ".join(TEXT.split())
    assert boots[rows.score.nlargest(10).index].sum() == 8
    assert "Nine boots lie above the threshold, and 15 sneakers with them" in TEXT
    assert (rows.above_threshold[boots].sum(), rows.above_threshold[~boots].sum()) == (9, 15)
    text = " ".join((walk / "found/report.html").read_text(encoding="utf-8").split())
    assert "by chance (3 to 24)" in text
    assert "3 or 24 of a hundred" in TEXT


def test_its_numbers_are_those_of_the_code():
    words = " ".join(TEXT.split())
    assert f"the {report.TOP} highest scores, the twelve images next to the threshold" in words
    assert report.BORDERLINE == 12
    assert f"from the last {scoring.BATCH} images" in words
    assert loop.CHECKPOINT_SECONDS == 60
    assert f"up to {EXAMPLES} of the fitted images, at most {EXAMPLE_BYTES >> 20} MB" in words
    assert f"The default is {detectors.Detector.fit.__kwdefaults__['false_alarms']}" in words


def test_its_table_names_every_detector_that_is_no_control():
    """A new one belongs into the table of the page, with the size of the images that it takes."""
    firsts = re.findall(r"^\| (`.*?`) \|.*notebooks/", TEXT, re.MULTILINE)
    named = {type(screening.choose(name, {})) for first in firsts for name in re.findall(r"`([\w.]+)`", first)}
    assert len(firsts) == 8
    there = {kind for name in detectors.names() for kind in detectors.kinds(name).values()}
    assert {kind.__name__ for kind in there - named} <= {"CAE", "CLS", "Control", "Random", "Double"}


def test_its_picture_is_no_larger_than_it_needs_to_be():
    with Image.open(screening_page.PICTURE) as picture:
        assert picture.width >= 1000
    assert screening_page.PICTURE.stat().st_size < 400_000


def test_the_readme_has_both_commands():
    readme = (screening_page.ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("novelty fit", "novelty score"):
        assert command in readme
    assert "(book/howto-screen.md)" in readme
