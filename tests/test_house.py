"""The rules of the house that no linter knows."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import executors
from executors.speedups import SPEED_UPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["executors", "fixtures", "harness", "suites"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tracked_files() -> list[Path]:
    """The project's text files, as git knows them, with those not yet added."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("this is no git checkout")
    names = [name.decode() for name in listing.stdout.split(b"\0") if name]
    return [path for path in map(ROOT.joinpath, names) if path.is_file() and path.name != "LICENSE"]


def test_no_file_is_longer_than_500_lines() -> None:
    ours = [path for path in tracked_files() if path.suffix not in {".json", ".lock", ".svg"}]
    assert ours
    long = {str(path): count for path in ours if (count := path.read_bytes().count(b"\n")) > 500}
    assert long == {}


def test_no_file_names_a_path_of_this_machine() -> None:
    # The parent of a short-lived clone may be any folder, so only a path of two parts and more is telling.
    telling = [path for path in (ROOT, Path(sys.prefix)) if len(path.parts) > 2]
    texts = [f"{Path.home()}/", *map(str, telling)]
    pattern = re.compile("|".join(re.escape(text) + r"(?![\w-])" for text in texts))
    found = {
        f"{path}:{number}": line
        for path in tracked_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    }
    assert found == {}


def test_the_licence_is_apache_2() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


def test_the_executor_extra_is_part_of_the_dependencies() -> None:
    assert set(PROJECT["optional-dependencies"]["executor"]) <= set(PROJECT["dependencies"])


def test_the_extra_of_speed_ups_is_what_the_executor_knows_of() -> None:
    named = {Requirement(text).name for text in PROJECT["optional-dependencies"]["fast"]}
    assert named == {each.name for each in SPEED_UPS}
    assert named.isdisjoint(with_their_dependencies(PROJECT["dependencies"]))


def with_their_dependencies(requirements: list[str]) -> set[str]:
    """The distributions that *requirements* ask for and all that those need here, as normalized names."""
    needed: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in needed or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        needed.add(name)
        waiting += [Requirement(text) for text in requires(name) or []]
    return needed


BARE_IMPORT = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not on a bare target", name=name)

allowed = {"executors", *sys.stdlib_module_names, *sys.argv[2:]}
sys.meta_path.insert(0, Refuse())
import executors

# A module for one operating system says so in its name.
foreign = {"linux", "posix"} if sys.platform == "win32" else {"windows", "wine"}
# And so does one for a library that is done without, or that an extra is for.
foreign |= {"picows", "simd", *sys.argv[1].split()}
for module in pkgutil.walk_packages(executors.__path__, "executors."):
    words = module.name.replace(".", "_").split("_")
    if "main" not in words and foreign.isdisjoint(words):
        importlib.import_module(module.name)
        print(module.name)
"""


@pytest.mark.parametrize(
    ("extras", "others"),
    [(["executor"], "noise relay remote"), (["executor", "relay"], "")],
    ids=["nothing else", "relay"],
)
def test_the_executor_imports_on_a_bare_target(extras: list[str], others: str) -> None:
    needed = with_their_dependencies(
        [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    )
    allowed = [
        module
        for module, distributions in packages_distributions().items()
        if needed & {canonicalize_name(name) for name in distributions}
    ]
    result = subprocess.run(
        [sys.executable, "-c", BARE_IMPORT, others, *allowed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "executors.server" in result.stdout.split()


def test_the_wheel_holds_every_package_and_its_types(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"crossexec-{executors.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    metadata = f"crossexec-{executors.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, metadata}
