"""The JSON schema of ``results.json``: ``python -m harness.matrix.report.schema`` prints it."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

import msgspec

from harness.matrix import model

_FIELD: Final = re.compile(r"^:ivar (\w+): ", re.MULTILINE)


def results_schema() -> dict[str, Any]:
    """Returns the schema, with what the docstrings of :mod:`harness.matrix.model` say of each field.

    Fields that it does not know are allowed: a later version adds some without a new number.
    """
    (schema,), definitions = msgspec.json.schema_components([model.Results])
    for name, definition in definitions.items():
        text, fields = _described(getattr(model, name))
        definition["description"] = text
        for field, description in fields.items():
            definition["properties"][field]["description"] = description
    run = definitions["Results"]
    run["properties"]["schema"]["const"] = model.SCHEMA
    # A reader looks at it before anything else.
    run["required"].insert(0, "schema")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "results.json of crossexec matrix",
        **schema,
        "$defs": definitions,
    }


def _described(kind: type) -> tuple[str, dict[str, str]]:
    """Returns what the docstring says of the whole and of each field, without markup and line breaks."""
    text, *fields = _FIELD.split(inspect.getdoc(kind) or "")
    described = dict(zip(fields[::2], fields[1::2], strict=True))
    return _plain(text), {name: _plain(description) for name, description in described.items()}


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", " ".join(text.split()))
    return text.replace("``", "").replace("*", "")


def formatted_schema() -> str:
    """Returns the text of ``docs/results.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(results_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    print(end=formatted_schema())
