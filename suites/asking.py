"""Questions to the operating system of an environment: what it says is what a test expects."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import pytest

from fixtures.programs import BoundPython
from harness.client.process import StartOptions

T = TypeVar("T")

_PROGRAM = """\
import json, os, sys
question = json.loads(sys.argv[1])
{code}
print(json.dumps(answer))
"""


def ask(python: BoundPython, code: str, question: object = None, **options: Unpack[StartOptions]) -> Any:
    """Runs *code* there, which finds *question* in a variable and leaves its ``answer`` in another.

    Both go as JSON; a ``str`` with lone surrogates, such as a file name that is not UTF-8, arrives
    as it is. The question travels on the command line: 30,000 characters of JSON at most.
    """
    program = _PROGRAM.format(code=textwrap.dedent(code))
    return json.loads(python.run(program, json.dumps(question), **options).stdout)


class Once:
    """Lets one program answer for a whole table, each case of which still passes or fails on its own."""

    def __init__(self, request: pytest.FixtureRequest, found: dict[Any, Any]) -> None:
        self._request = request
        self._found = found

    def __call__(self, find: Callable[..., T]) -> T:
        """Returns what *find* returned when the module first asked for it; an error is not kept.

        :param find: a function whose arguments are fixtures, by their names.
        """
        if find not in self._found:
            names = inspect.signature(find).parameters
            self._found[find] = find(**{name: self._request.getfixturevalue(name) for name in names})
        found: T = self._found[find]
        return found


@pytest.fixture(scope="module")
def _found() -> dict[Any, Any]:
    return {}


@pytest.fixture
def once(request: pytest.FixtureRequest, _found: dict[Any, Any]) -> Once:
    """``once(find)`` calls *find* for the first case of a table; the others get the same answer."""
    return Once(request, _found)
