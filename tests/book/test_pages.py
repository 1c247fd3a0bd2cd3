"""The built book as a reader sees it: offline, in light and dark, on a desk and on a phone."""

import gzip
import json
import re
from urllib.parse import urlparse

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import DESK, HTML, PAGES, SHOTS, shot

from crossref import ROOT, read_book

BOOK = read_book()
NOTEBOOKS = [name for name in PAGES if name.startswith("notebooks/")]
PAIRED = [name for name in NOTEBOOKS if (ROOT / name).with_suffix(".ipynb").exists()]  # the rest are further runs
GRAVE = ("critical", "serious")
EVIDENCE = [name for name in PAIRED if name.endswith("_evidence.html")]  # train nothing and have no parameters
# The lowest contrast (WCAG 2) between a piece of text and what lies behind it, over all text of the article.
CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const mix = (above, below, share) => [0, 1, 2].map((i) => above[i] * share + below[i] * (1 - share));
  const opacity = (e) => (e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1);
  const behind = (e) => {
    if (!e) return [255, 255, 255];
    const colour = numbers(getComputedStyle(e).backgroundColor);
    return mix(colour, behind(e.parentElement), colour[3] ?? 1);
  };
  let worst = { ratio: 21 };
  for (const e of document.querySelectorAll("article :is(p, li, h1, h2, h3, td, th, caption, span, a, summary)")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("").trim();
    if (!text || !e.getClientRects().length || !opacity(e) || e.closest("pre, mjx-container, .headerlink")) continue;
    const below = behind(e);
    const colour = numbers(getComputedStyle(e).color);
    const seen = luminance(mix(colour, below, (colour[3] ?? 1) * opacity(e)));
    const ground = luminance(below);
    const ratio = (Math.max(seen, ground) + 0.05) / (Math.min(seen, ground) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text, html: e.outerHTML.slice(0, 120) };
  }
  return worst;
}"""


def test_the_start_page_leads_to_the_book(reader):
    visit = reader.open("index.html")
    visit.page.wait_for_url("**/book/index.html")
    assert visit.page.locator("article h1").count() == 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_errors_and_asks_nothing_of_the_network(visits, name):
    shot(visits[name], name)
    assert visits[name].errors == []
    assert visits[name].outside == []


@pytest.mark.parametrize("name", PAGES)
def test_every_formula_is_set(visits, name):
    page = visits[name].page
    assert page.locator("article mjx-container").count() == page.locator("article .math").count()
    assert page.locator("mjx-merror").all_inner_texts() == []
    assert not re.findall(r"\\[(\[]|\$\$", page.locator("article").inner_text()), "TeX in the text"


def test_the_notebooks_have_formulas_and_figures(visits):
    assert PAIRED
    for name in PAIRED:
        assert visits[name].page.locator("article mjx-container").count() >= 5
    for name in NOTEBOOKS:
        assert visits[name].page.locator("article figure img").count() >= 1


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_there_and_is_described(visits, name):
    pictures = visits[name].page.locator("article img")
    pictures.evaluate_all("pictures => Promise.all(pictures.map(p => (p.loading = 'eager', p.decode())))")
    for picture in pictures.all():
        assert picture.evaluate("p => p.naturalWidth") > 0
        alt = picture.get_attribute("alt") or ""
        assert len(alt) > 3 and not re.search(r"_images|\.(png|svg|jpe?g)$", alt), f"alt text {alt!r}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_of_a_notebook_has_a_caption(visits, name):
    page = visits[name].page
    assert page.locator("article .cell_output img").count() == page.locator("article .cell_output figure img").count()
    captions = page.locator("article .cell_output figure").evaluate_all(
        "figures => figures.map(f => f.querySelector('figcaption .caption-text')?.textContent.trim() ?? '')"
    )
    assert all(captions), captions


@pytest.mark.parametrize("name", PAIRED)
def test_the_book_and_the_paired_notebook_count_alike(visits, name):
    """Figures and equations are numbered by Sphinx here and by tools/lower.py there."""
    paired = nbformat.read(ROOT / name.replace(".html", ".ipynb"), as_version=4)
    text = "\n".join(cell.source for cell in paired.cells if cell.cell_type == "markdown")
    page = visits[name].page
    figures = [words.strip() for words in page.locator("article figcaption .caption-number").all_inner_texts()]
    equations = [words.strip("()#¶ \n\u00a0") for words in page.locator("article .eqno").all_inner_texts()]
    assert figures == [f"Fig. {n}" for n in re.findall(r"^\*\*Fig\. (\d+)\.\*\*", text, re.MULTILINE)]
    assert [re.match(r"\d+", words).group() for words in equations] == re.findall(r"\\tag\{(\d+)\}", text)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_book_leads_somewhere(visits, name):
    page = visits[name].page
    anchors = page.locator("article a[href]").evaluate_all("links => links.map(a => a.href)")
    for address in {a for a in anchors if a.startswith("http://127.0.0.1")}:
        path, _, anchor = address.split("/", 3)[3].partition("#")
        target = HTML / path
        assert target.is_file(), address
        if anchor and target.suffix == ".html":
            assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), address


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_references_to_equations_are_links(visits, name):
    page = visits[name].page
    links = page.locator("article a.reference.internal[href^='#equation-']").count()
    assert (links >= 1) == (name in set(PAIRED) - set(EVIDENCE))
    assert page.locator("article p:has-text('(eq-')").count() == 0


def test_search_finds_a_word_of_the_ics_page(reader):
    visit = reader.open("search.html?q=splitting")
    visit.page.wait_for_selector("#search-results li a[href*='notebooks/ics.html']")
    assert visit.errors == []


@pytest.mark.parametrize("name", PAGES)
def test_text_is_legible_and_dark_mode_is_dark(visits, name):
    background = "getComputedStyle(document.body).backgroundColor"
    light, worst = visits[name].page.evaluate(background), visits[name].page.evaluate(CONTRAST)
    assert worst["ratio"] >= 4.5, worst
    with visits[name].dark() as page:
        shot(visits[name], f"dark_{name}")
        assert page.evaluate(background) != light
        worst = page.evaluate(CONTRAST)
    assert worst["ratio"] >= 4.5, worst


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_that_keeps_readers_out(visits, name):
    found = Axe().run(visits[name].page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = {one["id"]: [node["html"][:120] for node in one["nodes"]] for one in found if one["impact"] in GRAVE}
    assert grave == {}


@pytest.mark.parametrize("name", [*PAIRED, "book/claims.html", "book/holds.html"])
def test_a_page_weighs_little_when_it_opens(reader, name):
    """As a server sends it: text is compressed, pictures and fonts are already. What is far below comes later."""
    page = reader.open(name).page
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    files = {HTML / name, *(HTML / urlparse(address).path.lstrip("/") for address in asked)}
    sizes = {file.name: sent(file) for file in files if file.is_file()}
    assert len(sizes) > 5
    assert sum(sizes.values()) <= 1.2e6, sorted(sizes.items(), key=lambda one: -one[1])[:5]


def sent(file) -> int:
    whole = file.read_bytes()
    return len(whole) if file.suffix in (".png", ".woff", ".woff2", ".jpg") else len(gzip.compress(whole))


def test_there_is_an_icon_and_a_way_past_the_contents(visits):
    page = visits["book/index.html"].page
    icon = page.locator("link[rel*=icon]").get_attribute("href")
    assert (HTML / "book" / icon).resolve().is_file()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to main content"


@pytest.mark.parametrize("name", PAGES)
def test_in_print_nothing_scrolls_and_nothing_is_cut(visits, name):
    page = visits[name].page
    page.emulate_media(media="print")
    try:
        boxes = page.locator("article :is(pre, .text_html, .pst-scrollable-table-container, div.math, div.ledger)")
        seen = "box.checkVisibility() && !['visible', 'clip'].includes(getComputedStyle(box).overflowY)"
        cut = boxes.evaluate_all(f"boxes => boxes.filter(box => {seen}).map(box => box.outerHTML.slice(0, 90))")
    finally:
        page.emulate_media(media="screen")
    assert cut == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_figures_stand_on_a_white_card_in_dark_mode(visits, name):
    with visits[name].dark() as page:
        style = "pictures => pictures.map(p => [getComputedStyle(p).backgroundColor, getComputedStyle(p).filter])"
        cards = page.locator("article .cell_output img").evaluate_all(style)
    assert cards
    assert all(card == ["rgb(255, 255, 255)", "none"] for card in cards)


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_never_scrolls_sideways(visits, name):
    with visits[name].phone() as page:
        shot(visits[name], f"phone_{name}")
        widest = page.evaluate("document.documentElement.scrollWidth")
        culprits = page.locator("article *:not(pre *)").evaluate_all(
            "all => all.filter(e => e.getBoundingClientRect().right > 391).map(e => e.outerHTML.slice(0, 90))"
        )
    assert widest <= 390, culprits[:5]


def test_the_captions_of_wide_tables_are_read_without_scrolling(visits):
    with visits["notebooks/leaderboard.html"].phone() as page:
        edges = page.locator("article .text_html:has(caption)").evaluate_all(
            "boxes => boxes.map(box => [box, box.querySelector('caption')].flatMap(e => "
            "[e.getBoundingClientRect().left, e.getBoundingClientRect().right]))"
        )
        widths = page.locator("article .text_html table:has(caption)").evaluate_all(
            "all => all.map(e => e.offsetWidth)"
        )
    assert len(edges) >= 8
    assert max(widths) > 390  # there are wide ones
    assert all(left <= inner_left and inner_right <= right + 1 for left, right, inner_left, inner_right in edges)


@pytest.mark.parametrize("name", PAIRED)
def test_the_launch_button_opens_the_paired_notebook(visits, name):
    addresses = (
        visits[name].page.locator("a[href*='colab.research.google.com']").evaluate_all("all => all.map(a => a.href)")
    )
    assert set(addresses) == {BOOK.colab(name.removesuffix(".html"))}
    assert visits[name].page.locator("a[href*='mybinder']").count() == 0


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_page_shows_a_run_with_results_and_without_failures(visits, name):
    page = visits[name].page
    assert page.locator("article .cell_output").count() >= 3
    assert page.locator("article .output.traceback, article .output.stderr").all_inner_texts() == []
    assert page.locator("article .cell.tag_injected-parameters").count() == (name in set(PAIRED) - set(EVIDENCE))


def test_no_page_holds_a_path_of_this_machine():
    for name in PAGES:
        assert str(ROOT) not in (HTML / name).read_text(encoding="utf-8"), name
    assert str(ROOT) not in json.dumps((HTML / "searchindex.js").read_text(encoding="utf-8"))
    assert SHOTS.is_dir()


def test_what_holds_up_is_read_in_one_screen(visits):
    page = visits["book/holds.html"].page
    page.set_viewport_size({"width": 1400, "height": 900})
    bottom = page.locator("article figure").first.evaluate("figure => figure.getBoundingClientRect().bottom")
    page.set_viewport_size(DESK)
    assert bottom <= 900
    numbers = page.locator("article table.stack td")
    assert numbers.count() == 4 * 6
    assert page.locator("article table.stack td a[href]").count() == numbers.count()
