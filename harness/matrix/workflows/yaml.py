"""Documents as YAML that people can read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import LiteralScalarString

Value = str | int | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def render(document: Mapping[str, Value], header: str) -> str:
    """Returns *document* below a comment, an empty line before each of its parts and each of its jobs.

    Texts of several lines become block scalars.
    """
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1 << 16  # a line that is broken is a command that nobody finds again
    top = _mapping(document)
    _space(top)
    for inner in top.values():
        if isinstance(inner, CommentedMap) and all(isinstance(job, CommentedMap) for job in inner.values()):
            _space(inner)
    text = io.StringIO()
    yaml.dump(top, text)
    return f"# {header}\n{text.getvalue()}"


def _convert(value: Value) -> object:
    if isinstance(value, str):
        return LiteralScalarString(f"{value.strip()}\n") if "\n" in value else value
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, Sequence):
        return [_convert(inner) for inner in value]
    return value


def _mapping(value: Mapping[str, Value]) -> CommentedMap:
    return CommentedMap((key, _convert(inner)) for key, inner in value.items())


def _space(mapping: CommentedMap) -> None:
    for key, inner in list(mapping.items())[1:]:
        if isinstance(inner, CommentedMap):
            mapping.yaml_set_comment_before_after_key(key, before="\n")
