"""The page about a scored folder: what it shows, that it needs nothing from outside, and what it weighs."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import photos, white
from PIL import Image

from novelty_utils import detectors, screening
from novelty_utils.screening import histogram, report
from novelty_utils.screening.report import Found


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, text):
        self.text += text

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(image: dict[str, str | None]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))))


@pytest.fixture
def redrawing(toy, here, monkeypatch) -> detectors.Detector:
    """A detector that redraws every image in a medium grey; its own images lie in `good`, others in `new`."""
    photos(here / "good", 40)
    photos(here / "new", 50, seed=5)
    white(here / "new/white.png")
    model = screening.fit(toy.Distance(), "good", "parts.pt", side=8).model
    monkeypatch.setattr(type(model), "redraw", lambda self, images, index: torch.full((len(index), 1, 8, 8), 0.5))
    return model


def test_the_most_anomalous_images_come_first_beside_what_the_detector_makes_of_them(redrawing):
    made = screening.score(redrawing, "new", "found")
    page = Page(made.page)
    images = page.of("img")
    assert len(images) == 5 * (report.TOP + report.BORDERLINE)
    order = np.argsort(-made.found.scores)
    for place in (0, 1, report.TOP - 1):
        file = made.found.files[order[place]]
        whole, seen, again, heat, near = images[5 * place : 5 * place + 5]
        assert [one["alt"] for one in (whole, seen, again, heat, near)] == [
            f"{file}, as it is",
            f"{file}, as the detector sees it",
            f"{file}, redrawn by the detector",
            f"where {file} and its redrawing differ",
            f"the fitted image most like {file}",
        ]
        assert np.array_equal(picture(whole), np.asarray(Image.open(file)))
        small = np.asarray(Image.open(file).resize((8, 8), Image.Resampling.BILINEAR))
        assert np.array_equal(picture(seen), small)
        assert set(picture(again).flatten()) == {128}
        difference, drawn = abs(small / 255 - 0.5), picture(heat).sum(2)
        assert drawn.flat[difference.argmax()] == drawn.max()
        examples = redrawing.examples_[:, 0].numpy()
        away = np.square(examples / 255 - small / 255).sum((1, 2))
        assert np.array_equal(picture(near), examples[away.argmin()])
    assert "white.png, as it is" in images[0]["alt"]


def test_a_detector_that_redraws_nothing_shows_the_nearest_fitted_image(toy, here):
    photos(here / "good", 40)
    photos(here / "new", 3, seed=5)
    made = screening.score(screening.fit(toy.Distance(), "good", "parts.pt").model, "new", "found")
    page = Page(made.page)
    assert [one["alt"].split(",")[0].split(" ")[0] for one in page.of("img")[:3]][2] == "the"
    assert len(page.of("img")) == 9
    assert "where the two differ" not in page.text


def test_it_says_how_many_lie_above_and_how_many_would_by_chance(redrawing):
    made = screening.score(redrawing, "new", "found")
    text = " ".join(Page(made.page).text.split())
    above = int((made.found.scores > redrawing.threshold_).sum())
    assert f"{above} of 51 images lie above the threshold" in text
    assert "Of 4 normal images that were held out, 1 lies above the threshold" in text
    assert "25.0% (95 % interval 0.6% to 80.6%). Were all 51 new images normal, about 13 of them" in text
    assert "none is below 0.2." in text
    assert "fitted on 36 normal images" in text
    assert text.count("above the threshold") >= min(above, report.TOP)


def test_it_asks_for_nothing_from_outside_and_runs_nothing(redrawing):
    page = Page(screening.score(redrawing, "new", "found").page)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:image/", "data:", "#"))
    policy = next(one for one in page.of("meta") if one.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "http" not in Path("found/report.html").read_text(encoding="utf-8").replace("http-equiv", "")


def test_it_can_be_read_in_the_dark_on_a_phone_and_by_those_who_do_not_see(redrawing):
    page = Page(screening.score(redrawing, "new", "found").page)
    source = Path("found/report.html").read_text(encoding="utf-8")
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == len(page.of("main")) == len(page.of("title")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert "prefers-color-scheme: dark" in source
    assert all(image["alt"] for image in page.of("img"))
    (drawing,) = page.of("svg")
    assert drawing["role"] == "img"
    assert drawing["aria-label"].startswith("Histogram of the scores")
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[:3] == ["h1", "h2", "h2"]
    assert set(headings) == {"h1", "h2", "h3"}


@pytest.mark.slow
@pytest.mark.parametrize("side", [report.SMALL, 256])
def test_its_weight_is_bounded_however_large_and_many_the_images(side, toy, here, monkeypatch):
    photos(here / "good", 40, mode="RGB")
    photos(here / "new", 40, seed=5, size=(400, 300), mode="RGB")  # noise, which no format makes small
    model = screening.fit(toy.Distance(), "good", "parts.pt", side=side).model
    monkeypatch.setattr(type(model), "redraw", lambda self, images, index: torch.rand(len(index), 3, side, side))
    made = screening.score(model, "new", "found")
    assert len(Page(made.page).of("img")) == 5 * (report.TOP + report.BORDERLINE)
    assert made.page.stat().st_size < 5e6


def test_an_image_that_has_gone_since_is_told(redrawing):
    found = Found(Path("new"), [Path("new/gone.png")], np.array([9.0]), {}, redrawing.threshold_)
    report.write(Path("page.html"), redrawing, found)
    page = Page(Path("page.html"))
    assert "The file has gone since it was scored." in page.text
    assert not page.of("img")


# --- which images, and their distribution --------------------------------------------------------------------------


def test_images_worth_a_look_are_the_highest_and_then_those_around_the_threshold():
    scores = np.random.default_rng(0).permutation(np.arange(200.0))
    scores[3] = np.nan
    files = [Path(str(n)) for n in range(200)]
    top, borderline = report.worth_a_look(Found(Path(), files, scores, {}, 120.5))
    assert scores[top].tolist() == sorted(scores[~np.isnan(scores)].tolist(), reverse=True)[: report.TOP]
    near = sorted((score for score in scores if not np.isnan(score)), key=lambda score: abs(score - 120.5))
    assert sorted(scores[borderline]) == sorted(near[: report.BORDERLINE])
    assert 3 not in top + borderline


@pytest.mark.parametrize(("count", "threshold"), [(0, 1.0), (1, 0.0), (20, 5.0), (30, -1.0), (30, 99.0), (36, 0.0)])
def test_no_image_is_shown_twice_and_few_are_all_shown(count, threshold):
    found = Found(Path(), [Path(str(n)) for n in range(count)], np.arange(float(count)), {}, threshold)
    top, borderline = report.worth_a_look(found)
    assert len(set(top + borderline)) == len(top) + len(borderline) == min(count, report.TOP + report.BORDERLINE)


def test_bars_are_shares_of_either_kind_and_the_threshold_lies_among_them():
    held_out, new = np.linspace(0, 1, 10), np.concatenate([np.linspace(0, 1, 99), [1e9]])
    drawn = histogram.drawing(new, held_out, 0.75)
    for kind, count in (("new", len(new)), ("held_out", len(held_out))):
        heights = np.array([bar["height"] for bar in drawn[kind]])
        tallest = max(bar["height"] for bar in drawn["new"] + drawn["held_out"])
        assert tallest == histogram.HEIGHT
        shares = heights / heights.sum() * count
        assert np.allclose(shares, shares.round(), atol=0.1)
    assert drawn["low"] == "0"
    assert drawn["beyond"] == 1
    assert float(drawn["high"]) < 3.1
    assert drawn["threshold"] / histogram.WIDTH == pytest.approx(0.75 / float(drawn["high"]), abs=0.01)
    last = drawn["new"][-1]
    assert last["x"] + last["width"] == pytest.approx(histogram.WIDTH)


@pytest.mark.parametrize("new", [[], [1.0], [1.0, 1.0]])
def test_few_or_equal_scores_can_be_drawn(new):
    drawn = histogram.drawing(np.array(new), np.array([1.0, 1.0]), 1.0)
    assert drawn["threshold"] == histogram.WIDTH / 2
    assert len(drawn["new"]) == min(1, len(new))
