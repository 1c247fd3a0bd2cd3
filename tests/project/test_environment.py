"""pyproject.toml, requirements.txt, environment.yml and the workflows agree; checked offline."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from crossref import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
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


def test_every_action_is_pinned_to_a_full_version():
    uses = [use for path in WORKFLOWS for use in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))]
    assert len(uses) >= 5
    assert [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", use)] == []
