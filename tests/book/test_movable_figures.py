"""The figures that a reader moves: by keyboard, with the numbers that Python has, and with a picture for print."""

import json
import re

import numpy as np
import pytest
from pages import PAGES

from novelty_utils.evaluation import metrics

METHODS = {"ics": "split", "nln": "neighbours", "crbnd": "threshold", "ade_gan": "parts"}


@pytest.fixture(params=METHODS)
def figure(request, visits):
    """The page, what the notebook left for it, and the panel."""
    page = visits[f"notebooks/{request.param}.html"].page
    script = page.locator("script.movable")
    assert script.get_attribute("data-kind") == METHODS[request.param]
    panel = page.locator("div.movable")
    sliders = panel.locator("input[type=range]")
    before = [sliders.nth(n).input_value() for n in range(sliders.count())]
    yield request.param, page, json.loads(script.inner_text() or script.text_content()), panel
    for n, value in enumerate(before):
        sliders.nth(n).fill(value)


def press(panel, slider: int, key: str, times: int) -> float:
    """Move a slider by the keyboard alone; its value then."""
    place = panel.locator("input[type=range]").nth(slider)
    place.focus()
    for _ in range(times):
        place.press(key)
    return float(place.input_value())


def said(panel) -> str:
    return panel.locator(":scope > output").inner_text()


def expected(name: str, data: dict, panel) -> str:
    """The beginning of what the panel should say, for where its sliders stand."""
    at = [float(one.input_value()) for one in panel.locator("input[type=range]").all()]
    if name == "nln":
        first = next(iter(data["panels"].values()))
        value = np.mean(first["auroc"][int(at[0])][int(at[1])])
        return f"K = {data['K'][int(at[0])]}, α = {data['alpha'][int(at[1])]:g}: mean AUROC {value:.1f}"
    if name == "ics":
        count = round(at[0] / 100 * data["images"])
        return f"ρ = {at[0]:g} %: {count} of {data['images']} images are atypical"
    if name == "crbnd":
        normal, novel = (np.array(data["logits"][kind]) >= at[1] for kind in ("normal", "novel"))
        r = at[0] / 100
        kept, passed = (1 - r) * normal.mean(), r * novel.mean()
        f1 = 2 * kept / (2 * kept + passed + (1 - r) * (1 - normal.mean()))
        trivial = metrics.trivial_f1(r)
        return f"{at[0]:g} % outliers, threshold {at[1]:.1f}: F1 {f1:.3f}; calling everything normal: {trivial:.3f}"
    score = (1 - at[0]) * np.array(data["a"]) + at[0] * np.array(data["b"])
    y = np.array(data["y"])
    found = (score[y == 1] > np.quantile(score[y == 0], 0.9)).mean()
    value = metrics.auroc(y, score)[0]
    return f"Weight of the indecision {at[0]:.2f}: AUROC {value:.3f}, {100 * found:.0f} % of the novel"


def test_it_says_what_python_says_where_it_starts_and_where_a_reader_moves_it(figure):
    name, _, data, panel = figure
    start = said(panel)
    assert start.startswith(expected(name, data, panel))
    drawn = panel.inner_html()
    for slider in range(panel.locator("input[type=range]").count()):
        press(panel, slider, "ArrowRight" if (name, slider) != ("nln", 1) else "ArrowLeft", 3)
    assert said(panel) != start
    assert panel.inner_html() != drawn
    assert said(panel).startswith(expected(name, data, panel))


def test_the_picture_gives_way_on_the_screen_and_comes_back_in_print(figure):
    _, page, _, panel = figure
    picture = page.locator("article .still")
    assert panel.is_visible() and not picture.is_visible()
    assert panel.locator("xpath=ancestor::figure").locator("figcaption").is_visible()
    page.emulate_media(media="print")
    try:
        assert picture.is_visible() and not panel.is_visible()
    finally:
        page.emulate_media(media="screen")


def test_without_scripts_the_picture_stays(reader):
    context = reader.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{reader.address}notebooks/ade_gan.html")
    assert page.locator("figure#fig-ade-plane img").is_visible()
    context.close()


def test_further_runs_have_one_of_their_own(visits):
    further = [name for name in PAGES if re.fullmatch(r"notebooks/(ics|crbnd|ade_gan)_(?!evidence).*", name)]
    assert len(further) >= 6
    for name in further:
        assert visits[name].page.locator("div.movable svg").count() == 1, name
