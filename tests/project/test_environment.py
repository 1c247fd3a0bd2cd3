"""pyproject.toml, requirements.txt, environment.yml and the workflows agree; checked offline."""

import re
import shlex
import subprocess
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import editions
import novelty_utils
import release
from crossref import ROOT, read_book
from novelty_utils.runs import checking

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
BOOK = read_book()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def pins() -> dict[str, list[str]]:
    """Each pinned package with its versions: several where they differ between Pythons or systems."""
    found: dict[str, list[str]] = {}
    for line in PINS.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, version = re.match(r"([\w.-]+)==([\w.+!]+)", line).groups()
            assert "--hash=sha256:" in line, f"{name} has no hash"
            found.setdefault(canonicalize_name(name), []).append(version)
    return found


def needed() -> list[Requirement]:
    extras = [texts for name, texts in PROJECT["optional-dependencies"].items() if name != "elpv"]  # data: 90 MB
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]]


@pytest.mark.parametrize("requirement", needed(), ids=str)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    versions = pins().get(canonicalize_name(requirement.name), [])
    assert versions, f"run `make requirements`: {requirement.name} is not pinned"
    assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), versions


def test_the_pins_name_no_registry():
    assert "://" not in PINS
    assert not re.search(r"^ *-", PINS.replace("    --hash", ""), re.MULTILINE)


def test_conda_takes_everything_but_python_and_the_tools_from_the_pins():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    *plain, pip = CONDA["dependencies"]
    assert {re.split("[=<>]", name)[0] for name in plain} == {"python", "pip", "git", "make"}
    assert pip == {"pip": ["-r requirements.txt"]}


def test_every_python_named_anywhere_is_allowed():
    python = next(name for name in CONDA["dependencies"] if name.startswith("python="))
    named = {python.removeprefix("python=")}
    for workflow in WORKFLOWS:
        named |= set(re.findall(r'"(3\.\d+)"', workflow.read_text(encoding="utf-8")))
    assert named >= {"3.11", "3.13"}
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(version) for version in named)


def steps() -> list[dict]:
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it():
    lines = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for step in steps()) >= 10
    pinned = {re.fullmatch(r"\s+(?:- )?uses: ([\w/-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line) for line in lines}
    assert None not in pinned
    commits = {(found[1], found[2]) for found in pinned}
    assert len(commits) == len({action for action, _ in commits})  # one version of each


def test_workflows_may_read_and_no_more_unless_they_publish():
    for path in WORKFLOWS:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert read["permissions"] == {"contents": "read"} and "concurrency" in read
        for name, job in read["jobs"].items():
            assert "permissions" not in job or name in {"publish", "pypi"}, (path.name, name)
            assert job["timeout-minutes"] <= 360
    for step in steps():
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_nothing_is_published_before_the_tests_have_passed():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "run"}
    assert any(step.get("run") == ".ci/run" for step in jobs["test"]["steps"])
    uploads = [step for job in jobs.values() for step in job["steps"] if "upload-pages" in step.get("uses", "")]
    assert len(uploads) == 1 and uploads[0] in jobs["test"]["steps"]  # the pages that were tested, not others


def test_continuous_integration_has_a_job_for_every_run_of_the_book(capsys):
    edition = editions.read(ROOT / "book" / "runs.yml")
    listed = editions.listed(edition)
    assert [run["name"] for run in listed] == [*edition.pages, *(one.page for one in edition.further)]
    for run in listed:
        words = shlex.split(run["parameters"])
        assert all(flag == "-p" for flag in words[::2])
        given = dict(word.split("=", 1) for word in words[1::2])
        checking.check(checking.find_notebook(run["notebook"]), given)


# --- releases ------------------------------------------------------------------------------------------------------


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert metadata.version("novelty-utils") == release.version() == novelty_utils.__version__


@pytest.mark.parametrize(
    ("tag", "changelog", "branch", "told"),
    [
        ("v1.2.0", "## 1.2.0 (2026-12-01)", "v1.2.0", []),
        ("1.2.0", "## 1.2.0 (2026-12-01)", "1.2.0", ["the tag is 1.2.0 and the package 1.2.0"]),
        ("v1.3.0", "## 1.2.0 (2026-12-01)", "v1.3.0", ["the tag is v1.3.0 and the package 1.2.0"]),
        ("v1.2.0", "## 1.2.0 (2026-12-01)", "main", ["the badges and the notebooks name main: run python tools/rel"]),
        ("v1.2.0", "## 1.2.0 (not yet released)", "v1.2.0", ["CHANGELOG.md has no heading '## 1.2.0 (YYYY-MM-DD)'"]),
        ("v1.2.0", "## 1.2.01 (2026-12-01)", "v1.2.0", ["CHANGELOG.md has no heading '## 1.2.0 (YYYY-MM-DD)'"]),
    ],
)
def test_a_tag_is_released_only_with_its_version_its_news_and_notebooks_that_install_it(tag, changelog, branch, told):
    found = release.problems(tag, "1.2.0", changelog, branch)
    assert len(found) == len(told) and all(line.startswith(start) for line, start in zip(found, told, strict=True))


@pytest.mark.slow
def test_a_release_is_made_ready_by_one_number(tmp_path):
    """In a clone: version, badges and what the notebooks install agree afterwards, and nothing else has moved."""
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    clone = tmp_path / "clone"
    changed = release.prepare("9.8.7", clone)
    assert release.version(clone) == "9.8.7"
    for notebook in [*clone.glob("notebooks/*.ipynb"), *clone.glob("assignments/*.py"), clone / "README.md"]:
        text = notebook.read_text(encoding="utf-8")
        assert f"@{BOOK.branch}" not in text and f"/blob/{BOOK.branch}" not in text
        assert ("9.8.7" in text) == (notebook.name in " ".join(changed)), notebook
    lines = subprocess.run(["git", "diff", "-U0"], cwd=clone, capture_output=True, text=True, check=True).stdout
    added = [line for line in lines.splitlines() if re.match(r"\+(?!\+\+ )", line)]
    assert len(added) > 20
    assert all("9.8.7" in line or '"id":' in line for line in added)
    assert release.prepare("9.8.7", clone) == []


def test_the_changelog_tells_of_this_version():
    assert f"\n## {release.version()} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
