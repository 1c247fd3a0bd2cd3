"""The way through Colab without Colab: one notebook file in an empty folder and a Python that lacks the package."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import pytest

import colab
from crossref import ROOT

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "notebooks" / "ics.ipynb"
CONFIGURED = {"COLAB_RELEASE_TAG", "NOVELTY_UTILS_SOURCE", "PYTHONPATH"}


@dataclass(frozen=True)
class Away:
    """A Python that has every dependency but not novelty_utils, and an empty folder with the notebook."""

    python: Path
    folder: Path
    wheel: Path

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run this Python in the folder, with none of the clone's settings."""
        kept = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
        command = [str(self.python), *words]
        return subprocess.run(command, cwd=self.folder, env=kept | environment, capture_output=True, text=True)

    def has_package(self) -> str:
        """The file that `import novelty_utils` finds, or ""."""
        return self.run("-c", "import novelty_utils; print(novelty_utils.__file__)").stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as a wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def away(tmp_path_factory, wheel) -> Away:
    """A fresh virtual environment that borrows our dependencies one by one, all but the package itself.

    Shared by the tests below: only the last one installs anything.
    """
    tmp_path = tmp_path_factory.mktemp("away")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("novelty_utils", "_editable_impl_novelty_utils", "__pycache__", "pip")):
            (borrowed / path.name).symlink_to(path)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    (Path(own) / "borrowed.pth").write_text(f"{borrowed}\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / NOTEBOOK.name).write_bytes(NOTEBOOK.read_bytes())
    return Away(python, folder, wheel)


def install_cell() -> str:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [cell for cell in cells if "colab" in cell.metadata.get("tags", [])]
    return cell.source


def test_the_install_cell_comes_before_any_import_of_the_package():
    code = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    first = next(
        n for n, cell in enumerate(code) if "import novelty_utils" in cell.source or "from novelty" in cell.source
    )
    installs = next(n for n, cell in enumerate(code) if "colab" in cell.metadata.tags)
    assert installs < first


def test_without_the_package_and_outside_colab_one_line_says_what_to_do(away):
    assert away.has_package() == ""
    done = away.run("-c", install_cell())
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: novelty_utils is missing")
    assert "pip install" in last


def test_an_address_that_cannot_be_installed_stops_the_notebook(away):
    done = away.run("-c", install_cell(), NOVELTY_UTILS_SOURCE="./nowhere.whl", COLAB_RELEASE_TAG="x")
    assert done.returncode != 0
    assert away.has_package() == ""


def test_the_wheel_brings_the_definitions_of_the_notebooks_along(away, tmp_path):
    target, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    elsewhere = replace(away, folder=empty)
    words = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(away.wheel)]
    done = elsewhere.run(*words)
    assert done.returncode == 0, done.stderr
    told = "from novelty_utils import detectors as d; print(d.__file__, d.load('ics').CAE(seed=3), sep='\\n')"
    done = elsewhere.run("-c", told, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(target / "novelty_utils" / "detectors.py"),
        "CAE(seed=3, rec='mean', bn='torch')",
    ]
    assert not list(empty.iterdir())


def test_the_install_cell_installs_once_and_the_whole_notebook_then_runs(away):
    done = away.run("-c", install_cell(), NOVELTY_UTILS_SOURCE=str(away.wheel))
    assert done.returncode == 0, done.stderr
    found = away.has_package()
    assert found.startswith(str(away.python.parents[1])), found
    assert away.run("-c", install_cell()).returncode == 0  # the package is there now: nothing to install, no complaint

    kernel = away.run("-m", "ipykernel", "install", "--sys-prefix")
    assert kernel.returncode == 0, kernel.stderr
    words = ["-m", "papermill", NOTEBOOK.name, "out.ipynb", "-k", "python3", "--no-progress-bar"]
    done = away.run(*words, "-p", "tier", "smoke", "-p", "class_name", "0", "-p", "methods", "CAE", TQDM_DISABLE="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((away.folder / "results").rglob("*.json")), "the run left no record"
    assert str(ROOT) not in (away.folder / "out.ipynb").read_text(encoding="utf-8")


# --- what Colab brought stays --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretended(tmp_path_factory) -> Path:
    """A Python that takes itself for Colab's: of each package with a known version it has the name alone."""
    folder = tmp_path_factory.mktemp("pretended")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in versions().items():
        about = site / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (about / "INSTALLER").write_text("pip\n")
    return folder / "bin" / "python"


def versions() -> dict[str, str]:
    return {one.name: str(one.specifier)[2:] for one in colab.brought() if str(one.specifier).startswith("==")}


def report(python: Path, *asked: str) -> dict:
    """What pip would do, as it says itself. Nothing is installed; what is new may not push what is there aside."""
    file = python.parents[1] / "report.json"
    constraints = python.parents[1] / "there.txt"
    constraints.write_text("\n".join(f"{name}=={version}" for name, version in versions().items()))
    words = ["install", "--quiet", "--dry-run", "--report", str(file), "--constraint", str(constraints), *asked]
    kept = {name: value for name, value in os.environ.items() if name not in {*CONFIGURED, "PIP_CONSTRAINT"}}
    done = subprocess.run([str(python), "-m", "pip", *words], env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("extras", ["", "[pretrained]"])
def test_nothing_that_colab_brings_is_upgraded_or_replaced(pretended, wheel, extras):
    found = report(pretended, f"{wheel}{extras}")
    assert "novelty-utils" in {one["metadata"]["name"] for one in found["install"]}
    assert len(versions()) == 8
    assert colab.touched(found, versions()) == []


def test_a_bound_above_what_colab_brings_is_noticed(pretended, wheel):
    with pytest.raises(AssertionError, match="numpy"):
        report(pretended, str(wheel), "numpy>=2.2")


def test_a_report_that_puts_another_version_there_is_noticed():
    lines = [{"metadata": {"name": name, "version": "9"}} for name in ("Pillow", "novelty-utils", "scikit_learn")]
    assert colab.touched({"version": "1", "install": lines}, versions()) == ["Pillow 9", "scikit_learn 9"]


def test_every_notebook_with_a_badge_is_run_and_asks_for_extras_that_exist():
    found = {path.stem: colab.asked(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    badges = {name for name in found if "colab-badge" in (ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8")}
    assert {name for name, extras in found.items() if extras is not None} == badges >= {"ics", "nln", "pretrained"}
    assert {extras for extras in found.values() if extras} == {"[pretrained]"}
