"""Finds the marks of known gaps in the text of tests, and the tests that carry them. Nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from harness.client.errors import ClientError

MARK: Final = "known_gap"
ARGUMENTS: Final = ("reason", "env", "executor", "owner", "version", "issue", "run", "seconds", "sometimes")
"""Of the mark; the first one may be given without its name."""
VERSION: Final = re.compile(r"\d+(?:\.\d+)*")
"""What the mark takes for a version."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_DEPTH = 40
Function = ast.FunctionDef | ast.AsyncFunctionDef


class SourceError(ClientError):
    """A file of tests cannot be read or parsed."""


@dataclass(frozen=True)
class Mark:
    """One place that makes a mark.

    :ivar node: the call, or the bare name where it is not called.
    """

    module: Module
    node: ast.expr

    @property
    def line(self) -> int:
        """The one that has the name; the expression may begin above it."""
        named = self.node.func if isinstance(self.node, ast.Call) else self.node
        return named.end_lineno or named.lineno

    @property
    def arguments(self) -> tuple[list[ast.expr], dict[str, ast.expr], bool]:
        """Those by position, those by name, and whether there are others that only a run could tell."""
        if not isinstance(self.node, ast.Call):
            return [], {}, False
        named = {keyword.arg: keyword.value for keyword in self.node.keywords if keyword.arg is not None}
        is_open = len(named) < len(self.node.keywords)
        is_open |= any(isinstance(argument, ast.Starred) for argument in self.node.args)
        return self.node.args, named, is_open


@dataclass(frozen=True)
class Test:
    """One test function.

    :ivar name: with its classes, as in pytest's node ids: ``TestA::test_b``.
    :ivar classes: those around it, the outermost first.
    """

    module: Module
    name: str
    function: Function
    classes: tuple[ast.ClassDef, ...]


class Module:
    """One parsed file.

    :raises SourceError: it cannot be read, or is no Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looked_into: dict[int, tuple[list[Mark], list[ast.expr]]] = {}
        try:
            self.tree = ast.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        except (SyntaxError, ValueError, RecursionError) as error:
            line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            text = error.msg if isinstance(error, SyntaxError) else str(error)
            raise SourceError(f"{path}{line} cannot be parsed as Python: {text}") from error

    @cached_property
    def bound(self) -> dict[str, list[ast.AST]]:
        """What the names of the module stand for: values, functions, classes."""
        found: dict[str, list[ast.AST]] = {}
        for node in _statements(self.tree.body):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            found.setdefault(name.id, []).append(node.value)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
                if node.value is not None:
                    found.setdefault(node.target.id, []).append(node.value)
            elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[Path, str]]:
        """Names that are imported from files near this one: the file, and the name there, empty for the
        module itself."""
        found: dict[str, tuple[Path, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name
                    dotted = f"{node.module}.{alias.name}" if node.module else alias.name
                    if node.module and (file := self._file(node.module, node.level)):
                        found[name] = file, alias.name
                    if submodule := self._file(dotted, node.level):
                        found[name] = submodule, ""
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname and (file := self._file(alias.name, 0)):
                        found[alias.asname] = file, ""
        return found

    def marks(self, within: ast.AST | None = None) -> list[Mark]:
        """All marks that are made in the module, or in a part of it."""
        return self.look_into(within or self.tree)[0]

    def look_into(self, part: ast.AST) -> tuple[list[Mark], list[ast.expr]]:
        """The marks that are made in a part of the module, and what stands there that may be a name."""
        # Many tests lead to the same few tables.
        known = self._looked_into.get(id(part))
        if known is not None:
            return known
        nodes = list(ast.walk(part))
        called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        marks = [
            Mark(self, node)
            for node in nodes
            if (isinstance(node, ast.Call) and _is_mark(node.func))
            or (isinstance(node, ast.Attribute) and _is_mark(node) and id(node) not in called)
        ]
        names: list[ast.expr] = [node for node in nodes if isinstance(node, ast.Name | ast.Attribute)]
        self._looked_into[id(part)] = marks, names
        return marks, names

    def tests(self) -> Iterator[Test]:
        yield from self._tests(self.tree.body, ())

    def _tests(self, body: list[ast.stmt], classes: tuple[ast.ClassDef, ...]) -> Iterator[Test]:
        for node in _statements(body):
            if isinstance(node, _FUNCTIONS) and node.name.startswith("test"):
                names = [*(around.name for around in classes), node.name]
                yield Test(self, "::".join(names), node, classes)
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield from self._tests(node.body, (*classes, node))

    def _file(self, dotted: str, level: int) -> Path | None:
        """The file of a module, for which the directories above this one are searched."""
        parents = self.path.parents
        relative = Path(*dotted.split("."))
        for folder in parents[level - 1 : level] if level else parents:
            for file in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
                if file.is_file():
                    return file
        return None


class Sources:
    """The modules that have been looked into, and what a name in one of them comes to in another."""

    def __init__(self) -> None:
        self._modules: dict[Path, Module] = {}

    def module(self, path: Path) -> Module:
        """:raises SourceError: it cannot be read, or is no Python."""
        key = path.resolve()
        if key not in self._modules:
            self._modules[key] = Module(path)
        return self._modules[key]

    def marks_of(self, test: Test) -> list[Mark]:
        """The marks that *test* carries, as far as the text tells."""
        module = test.module
        found: dict[int, Mark] = {}
        seen: set[tuple[Path, str]] = set()

        def visit(of: Module, node: ast.AST) -> None:
            marks, names = of.look_into(node)
            found.update((id(mark.node), mark) for mark in marks)
            for name in names:
                follow(of, name)

        def follow(of: Module, name: ast.expr) -> None:
            place = self._place(of, name)
            if place is None or (place[0].path, place[1]) in seen:
                return
            seen.add((place[0].path, place[1]))
            for node in place[0].bound[place[1]]:
                if isinstance(node, _FUNCTIONS) and _is_fixture(node):
                    fixture(place[0], node)
                else:
                    visit(place[0], node)

        def fixture(of: Module, function: Function) -> None:
            for decorator in function.decorator_list:
                visit(of, decorator)
            arguments(of, function)

        def arguments(of: Module, function: Function) -> None:
            for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
                for where in (of, *self._conftests(of.path)):
                    place = self._place(where, ast.Name(argument.arg))
                    if place and any(
                        isinstance(node, _FUNCTIONS) and _is_fixture(node)
                        for node in place[0].bound[place[1]]
                    ):
                        follow(where, ast.Name(argument.arg))
                        break

        for decorated in (test.function, *test.classes):
            for decorator in decorated.decorator_list:
                visit(module, decorator)
        for body in (module.tree.body, *(around.body for around in test.classes)):
            for value in _pytestmarks(body):
                visit(module, value)
        for applied in _applied(test.function):
            visit(module, applied)
        arguments(module, test.function)
        return list(found.values())

    def value(self, module: Module, node: ast.expr, depth: int = 0) -> object:
        """What *node* comes to if it is made of constants: one of them, a concatenation, or a list.

        :raises LookupError: only a run could tell.
        """
        if depth > _MAX_DEPTH:
            raise LookupError("a name that stands for itself")
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.JoinedStr(values=parts):
                return "".join(str(self._text(module, part, depth)) for part in parts)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._text(module, left, depth) + self._text(module, right, depth)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                return [self.value(module, element, depth + 1) for element in elements]
            case ast.Name() | ast.Attribute():
                place = self._place(module, node)
                values = place[0].bound[place[1]] if place else []
                if place and len(values) == 1 and isinstance(values[0], ast.expr):
                    return self.value(place[0], values[0], depth + 1)
        raise LookupError(ast.unparse(node))

    def _text(self, module: Module, node: ast.expr, depth: int) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.conversion != -1 or node.format_spec is not None:
                raise LookupError(ast.unparse(node))
            node = node.value
        value = self.value(module, node, depth + 1)
        if not isinstance(value, str):
            raise LookupError(ast.unparse(node))
        return value

    def _place(self, module: Module, node: ast.expr, depth: int = 0) -> tuple[Module, str] | None:
        """The module that binds a name, and the name there."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(node, ast.Name):
            if node.id in module.bound:
                return module, node.id
            file, name = module.imported.get(node.id, (None, ""))
            if file is not None and name:
                return self._place(self.module(file), ast.Name(name), depth + 1)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            file, name = module.imported.get(node.value.id, (None, ""))
            if file is not None and not name:
                return self._place(self.module(file), ast.Name(node.attr), depth + 1)
        return None

    def _conftests(self, path: Path) -> Iterator[Module]:
        for folder in path.parents:
            file = folder / "conftest.py"
            if file.is_file():
                yield self.module(file)
            elif not (folder / "__init__.py").is_file():
                return


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of *body*, also under ``if``, ``try`` and ``with``."""
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            inner = (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt))
            yield from _statements(inner)


def _is_mark(node: ast.expr) -> bool:
    """Whether it reads ``pytest.mark.known_gap`` or ``mark.known_gap``."""
    if not isinstance(node, ast.Attribute) or node.attr != MARK:
        return False
    of = node.value
    return (isinstance(of, ast.Attribute) and of.attr == "mark") or (
        isinstance(of, ast.Name) and of.id == "mark"
    )


def _is_fixture(function: Function) -> bool:
    named = (of.func if isinstance(of, ast.Call) else of for of in function.decorator_list)
    return any(ast.unparse(name).rpartition(".")[2] == "fixture" for name in named)


def _pytestmarks(body: list[ast.stmt]) -> Iterator[ast.expr]:
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets):
            value = getattr(node, "value", None)
            if value is not None:
                yield value


def _applied(function: Function) -> Iterator[ast.expr]:
    """What the test itself adds while it runs, by ``request.applymarker`` and the like."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="applymarker" | "add_marker"), args=marks):
                yield from marks
