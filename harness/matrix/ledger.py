"""The known gaps of tests, read from their text: what is broken where, whose matter it is, and since when."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from harness.environments import ENVIRONMENTS
from harness.environments.place import place_of
from harness.matrix.blame import blame
from harness.matrix.marks import ARGUMENTS, MARK, VERSION, Mark, SourceError, Sources, Test

ENVIRONMENT_NAMES: Final = (*ENVIRONMENTS, "url")
"""Those that a gap can be in."""
_TEST_FILES = ("test_*.py", "*_test.py")


class KnownGap(msgspec.Struct, frozen=True):
    """One ``known_gap`` of the tests.

    :ivar reason: what is different there. Where only a run could tell, the expression.
    :ivar owner: who would have to mend it; empty where nobody said.
    :ivar env: environments that have it; empty for all.
    :ivar executor: executors that have it; empty for all.
    :ivar version: of the owner, in which it was seen; empty where it is not told.
    :ivar issue: URL of where it is discussed; empty where there is none.
    :ivar run: whether the tests are tried all the same.
    :ivar file: relative to the current directory if it is below that.
    :ivar tests: ids of the test functions that have it, as far as the text tells.
    :ivar commit: what :func:`harness.matrix.blame.blame` says wrote the line; empty where it cannot tell.
    :ivar date: of the commit, as ``2026-01-31``; empty without one.
    :ivar problems: what is wrong with the mark, in words.
    :ivar warnings: what might be better.
    """

    reason: str
    owner: str
    env: tuple[str, ...]
    executor: tuple[str, ...]
    version: str
    issue: str
    run: bool
    file: str
    line: int
    tests: tuple[str, ...]
    commit: str
    date: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def concerns(self, environment: str) -> bool:
        return not self.env or environment in self.env or place_of(environment) in self.env


def read_gaps(paths: Sequence[Path]) -> list[KnownGap]:
    """Returns the gaps of the tests below *paths*, by owner, reason and place.

    A mark that these tests import from elsewhere is among them.

    :raises SourceError: a path is not there, or a file cannot be parsed.
    """
    sources = Sources()
    marks: dict[int, Mark] = {}
    users: dict[int, list[Test]] = {}
    tests: list[Test] = []
    for file, is_test in _files(paths).items():
        module = sources.module(file)
        marks |= {id(mark.node): mark for mark in module.marks()}
        for test in module.tests() if is_test else ():
            tests.append(test)
            for mark in sources.marks_of(test):
                marks[id(mark.node)] = mark
                users.setdefault(id(mark.node), []).append(test)
    for key, mark in marks.items():
        users.setdefault(key, []).extend(_listed(mark, tests))
    lines: dict[Path, set[int]] = {}
    for mark in marks.values():
        lines.setdefault(mark.module.path, set()).add(mark.line)
    blamed = {path: blame(path, sorted(numbers)) for path, numbers in lines.items()}
    gaps = [
        _gap(sources, mark, users.get(key, []), blamed[mark.module.path].get(mark.line, ("", "")))
        for key, mark in marks.items()
    ]
    return sorted(gaps, key=lambda gap: (not gap.owner, gap.owner, gap.reason.casefold(), gap.file, gap.line))


def _listed(mark: Mark, tests: Iterable[Test]) -> Iterator[Test]:
    """The tests that a table beside them gives the mark to: pairs of a mark and names, in which a star stands
    for any text. Of parameters this text tells nothing."""
    patterns = [
        name.value.partition("[")[0]
        for pair in ast.walk(mark.module.tree)
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 and pair.elts[0] is mark.node
        for name in ast.walk(pair.elts[1])
        if isinstance(name, ast.Constant) and isinstance(name.value, str)
    ]
    folder = mark.module.path.parent
    for test in tests if patterns else ():
        path = test.module.path
        name = f"{path.name}::{test.name}"
        if path.is_relative_to(folder) and any(fnmatchcase(name, pattern) for pattern in patterns):
            yield test


def _files(paths: Sequence[Path]) -> dict[Path, bool]:
    """The files, and whether pytest would look for tests in them."""
    found: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.py")):
                if not any(part.startswith(".") for part in file.relative_to(path).parts):
                    found[file] = any(file.match(pattern) for pattern in _TEST_FILES)
        elif path.exists():
            found[path] = True
        else:
            raise SourceError(f"there is no {path}: give files or directories of tests")
    return found


def _gap(sources: Sources, mark: Mark, tests: Iterable[Test], since: tuple[str, str]) -> KnownGap:
    told = _Arguments(sources, mark)
    reason = told.text("reason", required=True)
    owner, version, issue = told.text("owner"), told.text("version"), told.text("issue")
    env, executor = told.names("env"), told.names("executor")
    run = told.flag("run")
    problems = list(told.problems)
    for name in env:
        if name not in ENVIRONMENT_NAMES:
            problems.append(f"there is no environment {name!r}; there are {', '.join(ENVIRONMENT_NAMES)}")
    if issue and not _is_link(issue):
        problems.append(f"issue {issue!r} is no absolute http or https URL")
    if version and not VERSION.fullmatch(version):
        problems.append(f"version {version!r} is not made of numbers with dots, such as '8.0'")
    # The executor that it is a gap of is whose version counts where nobody else is named.
    if not owner and len(executor) == 1:
        (owner,) = executor
    if version and not owner:
        problems.append(f"version {version!r} has no owner")
    warnings = (
        () if owner or told.has("owner") or told.is_open else ("no owner says who would have to mend it",)
    )
    return KnownGap(
        reason,
        owner,
        env,
        executor,
        version,
        issue,
        run,
        _shown(mark.module.path),
        mark.line,
        tuple(sorted(f"{_shown(test.module.path)}::{test.name}" for test in tests)),
        *since,
        tuple(problems),
        warnings,
    )


class _Arguments:
    """What a mark was given, and what is wrong with that."""

    def __init__(self, sources: Sources, mark: Mark) -> None:
        self._sources = sources
        self._module = mark.module
        positional, self._given, self.is_open = mark.arguments
        self.problems: list[str] = []
        if not isinstance(mark.node, ast.Call):
            self.problems.append(f"{MARK} is not called: it needs a reason")
            self.is_open = True
        if self.is_open and isinstance(mark.node, ast.Call):
            self.problems.append("its arguments are not all written out")
        if len(positional) > 1:
            self.problems.append("only the reason may be given without a name")
        if positional and "reason" not in self._given:
            self._given = {"reason": positional[0], **self._given}
        for name in self._given:
            if name not in ARGUMENTS:
                self.problems.append(f"unknown argument {name!r}; there are {', '.join(ARGUMENTS)}")

    def has(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str, required: bool = False) -> str:
        value = self._value(name)
        if isinstance(value, str) and value.strip():
            return value
        if name not in self._given:
            if required and not self.is_open:
                self.problems.append(f"it has no {name}")
        elif isinstance(value, _Unknown):
            self.problems.append(f"{name} is no constant: {value.expression}")
            return value.expression
        elif isinstance(value, str) or (required and value is None):
            self.problems.append(f"{name} is empty")
        elif value is not None:
            self.problems.append(f"{name} is no text: {value!r}")
        return ""

    def names(self, name: str) -> tuple[str, ...]:
        value = self._value(name)
        names = [value] if isinstance(value, str) else value
        if names is None:
            return ()
        if isinstance(names, list) and all(isinstance(part, str) for part in names):
            if not any(names):
                self.problems.append(f"{name} is empty")
            return tuple(names)
        expression = value.expression if isinstance(value, _Unknown) else repr(value)
        self.problems.append(f"{name} is no name or list of names: {expression}")
        return ()

    def flag(self, name: str) -> bool:
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return value is not False
        self.problems.append(f"{name} is neither True nor False")
        return True

    def _value(self, name: str) -> object:
        if name not in self._given:
            return None
        try:
            return self._sources.value(self._module, self._given[name])
        except LookupError:
            return _Unknown(ast.unparse(self._given[name]))


class _Unknown(msgspec.Struct, frozen=True):
    """The value of an expression that only a run could tell."""

    expression: str


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not set(text) & set(' \t\n<>"')
    except ValueError:
        return False


def _shown(path: Path) -> str:
    resolved, here = path.resolve(), Path.cwd()
    return (resolved.relative_to(here) if resolved.is_relative_to(here) else resolved).as_posix()
