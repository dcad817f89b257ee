"""``crossexec ci``: the workflows of continuous integration, written from the definition of the matrix."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Final

from harness.cli_target import UsageError
from harness.client.errors import ClientError
from harness.matrix.definition import DEFAULT_FILE, DefinitionError, load_definition

_INCLUDING: Final = """\
include:
  - local: ci/gitlab.yml
"""


class CiFailed(ClientError):
    """The workflows cannot be written; the text says why, and what would help."""


async def ci(options: argparse.Namespace) -> int:
    file = _relative(options.definition or DEFAULT_FILE)
    try:
        definition = load_definition(file)
    except DefinitionError as error:
        raise UsageError(f"{error}\nRun it in the root of the repository.") from error
    try:
        from harness.matrix.workflows import workflows
    except ModuleNotFoundError as error:
        raise CiFailed(
            f"the module {error.name} is missing: install crossexec with its extra ci, "
            "as in pip install 'crossexec[ci]'"
        ) from error
    files = {Path(path): text for path, text in workflows(definition, file).items()}
    if options.check:
        return _check(files)
    for path, text in files.items():
        _write(path, text)
    _include_for_gitlab()
    return 0


def _relative(file: Path) -> Path:
    """CI has the repository elsewhere."""
    try:
        return file.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        raise UsageError(f"--definition: {file} lies outside of the current directory") from None


def _check(files: dict[Path, str]) -> int:
    stale = [path for path, text in files.items() if _content(path) != text]
    for path in stale:
        there = _content(path)
        lines = difflib.unified_diff(
            (there or "").splitlines(keepends=True),
            files[path].splitlines(keepends=True),
            "/dev/null" if there is None else f"{path.as_posix()}, as it is",
            f"{path.as_posix()}, as it should be",
        )
        sys.stdout.writelines(lines)
    if stale:
        names = ", ".join(path.as_posix() for path in stale)
        print(f"crossexec ci: out of date: {names}; run crossexec ci", file=sys.stderr)
    return 1 if stale else 0


def _write(path: Path, text: str) -> None:
    there = _content(path)
    if there == text:
        print(f"{path.as_posix()} is up to date")
        return
    if there is not None and "`crossexec ci`" not in there.partition("\n")[0]:
        raise CiFailed(
            f"{path.as_posix()} is there, and is not crossexec ci's: move it away, and run this again"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {path.as_posix()}")


def _include_for_gitlab() -> None:
    """GitLab reads this file alone, which belongs to the project."""
    path = Path(".gitlab-ci.yml")
    there = _content(path)
    if there is None:
        path.write_text(_INCLUDING, encoding="utf-8", newline="\n")
        print(f"wrote {path}")
    elif "ci/gitlab.yml" not in there:
        print(f"{path} does not include ci/gitlab.yml; add to it:\n{_INCLUDING}", end="", file=sys.stderr)


def _content(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
