"""The public address stands in _config.yml; every other file that repeats it must repeat it exactly."""

import re
import subprocess

import pytest
import yaml

import release
from crossref import ROOT, read_book

BOOK = read_book()
NAME = BOOK.repository.removeprefix("https://github.com/")
# What an address of ours looks like, whoever we are: the part in the group must be ours.
OURS = {
    r"git\+https://github\.com/([\w.-]+/[\w-]+)": NAME,
    rf"git\+https://github\.com/{NAME}@([\w.-]+)": BOOK.branch,
    r"git clone (?:-\S+ )*https://github\.com/([\w.-]+/[\w-]+)": NAME,
    r"colab\.research\.google\.com/github/([\w.-]+/[\w-]+)/blob/": NAME,
    r"colab\.research\.google\.com/github/[\w.-]+/[\w-]+/blob/([\w.-]+)/": BOOK.branch,
    r"^repository-code: (\S+)": BOOK.repository,
    r"^url: (\S+)": BOOK.site,
    r"(https://[\w.-]+/(?:[\w.-]+/)?)(?:book|notebooks)/[\w-]+\.html": BOOK.site,
    # what is left of the placeholder once the address is known
    r"github\.com/(novelty-book/novelty-book)\b": NAME,
    r"(https://novelty-book\.github\.io/novelty-book/?)": BOOK.site,
}


def stale(text: str) -> list[str]:
    """The lines of a file that hold an address of ours which is not the one in _config.yml."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, right in OURS.items():
            lines += [f"line {number}: {found} is not {right}" for found in re.findall(pattern, line) if found != right]
    return lines


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def test_every_address_in_the_repository_is_the_configured_one():
    faults = []
    for name in tracked():
        if name.endswith(("/test_addresses.py", "/test_pairing.py")):  # they hold wrong addresses on purpose
            continue
        faults += [f"{name}, {line}" for line in stale((ROOT / name).read_bytes().decode("utf-8", "replace"))]
    assert not faults, "the address in _config.yml has changed; change it here too:\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "line",
    [
        'source = "novelty-utils @ git+https://github.com/someone/else@main"',
        "git clone https://github.com/someone/else.git",
        f"[badge](https://colab.research.google.com/github/someone/else/blob/{BOOK.branch}/notebooks/ics.ipynb)",
        f"[badge](https://colab.research.google.com/github/{NAME}/blob/main/notebooks/ics.ipynb)",
        f'source = "novelty-utils @ git+{BOOK.repository}@main"',
        "repository-code: https://github.com/someone/else",
        "url: https://someone.github.io/else/",
        "[page](https://someone.github.io/else/book/protocols.html)",
    ],
)
def test_another_address_is_noticed(line):
    assert len(stale(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        f'"novelty-utils @ git+{BOOK.repository}@{BOOK.branch}"',
        f"    git clone {BOOK.repository}",
        f"({BOOK.colab('notebooks/ics')})",
        f"[page]({BOOK.site}book/protocols.html) and {BOOK.site}",
        "The peer is https://github.com/yzhao062/pyod.",
    ],
)
def test_our_address_and_a_strangers_are_left_alone(line):
    assert stale(line) == []


def test_the_site_is_the_pages_site_of_the_repository():
    owner, name = NAME.split("/")
    assert BOOK.site == f"https://{owner}.github.io/{name}/"


def test_the_places_that_need_the_address_have_it():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["repository-code"], citation["url"]) == (BOOK.repository, BOOK.site)
    install = rf'"novelty-utils(\[pretrained\])? @ git\+{re.escape(f"{BOOK.repository}@{BOOK.branch}")}"'
    for notebook in ROOT.glob("notebooks/*.py"):
        text = notebook.read_text(encoding="utf-8")
        # A page of evidence reads the records of a clone: it has no badge and nothing to install.
        assert bool(re.search(install, text)) != ("records.BOOK" in text and 'tags=["parameters"' not in text), (
            notebook.name
        )


def test_badges_and_notebooks_name_the_release_of_this_version():
    assert BOOK.branch == f"v{release.version()}"


def test_the_citation_file_is_valid():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["title"] == "Novelty detection, reproduced"
    assert citation["authors"] == [{"name": "The authors"}]
