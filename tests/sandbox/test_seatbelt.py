"""The profiles for macOS, as texts; that they hold is for the canary to show, where there is a macOS."""

from __future__ import annotations

import sys
from pathlib import PurePosixPath

import pytest

from executors.sandbox.policy import Access, Policy, Rule, make_policy
from executors.sandbox.seatbelt_macos import SeatbeltBackend, profile


def policy(*rules: tuple[str, Access], network: bool = False, patterns: tuple[str, ...] = ()) -> Policy:
    bound = [Rule(PurePosixPath(path), access) for path, access in rules]
    return make_policy(bound, denied_patterns=patterns, network=network)


def lines(made: Policy) -> list[str]:
    return profile(made).splitlines()


def forms(text: str) -> list[object]:
    """Reads a profile as the Scheme that it is: lists, strings and words."""
    stack: list[list[object]] = [[]]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "(":
            stack.append([])
        elif character == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif character == '"':
            value = ""
            position += 1
            while text[position] != '"':
                if text[position] == "\\":
                    position += 1
                value += text[position]
                position += 1
            stack[-1].append(("text", value))
        elif not character.isspace():
            start = position
            while text[position] not in ' \n()"':
                position += 1
            stack[-1].append(text[start:position])
            continue
        position += 1
    assert len(stack) == 1, "a parenthesis is not closed"
    return stack[0]


def test_everything_else_is_denied_first() -> None:
    assert lines(policy())[:2] == ["(version 1)", "(deny default)"]


def test_inner_places_come_after_outer_ones() -> None:
    made = lines(
        policy(("/", Access.READ), ("/ws", Access.WRITE), ("/ws/.git", Access.READ), ("/k", Access.NONE))
    )
    order = [
        '(allow file-read* process-exec (subpath "/"))',
        '(deny file-write* (subpath "/"))',
        '(allow file-read* file-write* process-exec (subpath "/ws"))',
        '(allow file-read* process-exec (subpath "/ws/.git"))',
        '(deny file-write* (subpath "/ws/.git"))',
    ]
    assert [line for line in made if line in order] == order
    assert made.index('(deny file-read* file-write* process-exec (subpath "/k"))') > made.index(order[0])


def test_what_holds_a_carved_place_cannot_be_moved() -> None:
    made = lines(policy(("/ws", Access.WRITE), ("/ws/a/b", Access.READ)))
    assert '(deny file-write-unlink (literal "/ws/a"))' in made
    assert '(deny file-write-unlink (literal "/ws"))' in made
    assert '(deny file-write-unlink (literal "/"))' not in made


@pytest.mark.parametrize("network", [False, True])
def test_the_network(network: bool) -> None:
    made = lines(policy(("/", Access.READ), network=network))
    assert ("(allow network*)" in made) is network
    assert ("(deny network*)" in made) is not network


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", 'a\\"b', "a b", "a)(allow default)", "ä", "#;x", '")(allow default)("']
)
def test_names_stay_names(name: str) -> None:
    found = forms(profile(policy((f"/{name}", Access.WRITE))))
    assert ["allow", "file-read*", "file-write*", "process-exec", ["subpath", ("text", f"/{name}")]] in found
    assert ["allow", "default"] not in found


@pytest.mark.parametrize("name", ["a\nb", "a\x7f", "a\udc80"])
def test_names_that_cannot_be_said(name: str) -> None:
    made = policy((f"/{name}", Access.WRITE))
    with pytest.raises(ValueError, match="a profile cannot say"):
        profile(made)
    assert "a profile cannot say" in str(SeatbeltBackend().lacks(made))


def test_patterns_are_none_of_its() -> None:
    made = policy(("/", Access.READ), patterns=("/ws/**/*.key",))
    assert SeatbeltBackend().lacks(made) == "it cannot deny what matches a pattern"


@pytest.mark.skipif(sys.platform == "darwin", reason="elsewhere only")
def test_elsewhere_it_is_not_offered() -> None:
    assert SeatbeltBackend().missing() == "sandbox-exec is of macOS"
