"""Rules and patterns of a policy: lexical, for both kinds of paths."""

from __future__ import annotations

import fnmatch
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.protocol.errors import ErrorCode, RpcError
from executors.sandbox.patterns import PatternError, escape, matches, read_pattern
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from executors.sandbox.spelling import Spelling

NONE, READ, WRITE = Access
Posix, Windows = PurePosixPath, PureWindowsPath

names = st.sampled_from(["a", "b", "c", "A", "a b", "é", "\udcff", "...", "x" * 20])
posix_paths = st.lists(names, max_size=5).map(lambda parts: Posix("/", *parts))
windows_paths = st.tuples(
    st.sampled_from(["C:\\", "c:\\", "D:\\", "\\\\srv\\share\\"]), st.lists(names, max_size=4)
).map(lambda found: Windows(found[0], *found[1]))
paths: st.SearchStrategy[PurePath] = st.one_of(posix_paths, windows_paths)


def rules_of(places: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Rule]]:
    return st.dictionaries(places, st.sampled_from(Access), max_size=12).map(
        lambda found: [Rule(path, access) for path, access in found.items()]
    )


def told_slowly(rules: list[Rule], path: PurePath) -> Access:
    """The access of the rule whose path is the longest of those around *path*."""
    around = [rule for rule in rules if path.is_relative_to(rule.path)]
    return max(around, key=lambda rule: len(rule.path.parts)).access if around else NONE


@given(rules_of(posix_paths), posix_paths)
def test_the_innermost_rule_counts(rules: list[Rule], path: PurePath) -> None:
    assert make_policy(rules).access(path) == told_slowly(rules, path)


@given(rules_of(posix_paths), st.randoms(), posix_paths)
def test_the_order_of_rules_is_of_no_account(rules: list[Rule], random: Any, path: PurePath) -> None:
    shuffled = random.sample(rules, len(rules))
    assert make_policy(rules) == make_policy(shuffled)
    assert hash(make_policy(rules)) == hash(make_policy(shuffled))


@given(rules_of(posix_paths))
def test_only_rules_that_change_something_stay_and_outer_ones_come_first(rules: list[Rule]) -> None:
    policy = make_policy(rules)
    for index, rule in enumerate(policy.rules):
        without = Policy(policy.rules[:index] + policy.rules[index + 1 :])
        assert without.access(rule.path) != rule.access == policy.access(rule.path)
        assert not any(rule.path in later.path.parents for later in policy.rules[:index] if later != rule)
    # One that is made of what stayed, by hand, says the same.
    assert all(Policy(policy.rules).access(rule.path) == rule.access for rule in rules)


@given(rules_of(posix_paths))
def test_what_is_carved(rules: list[Rule]) -> None:
    policy = make_policy(rules)
    carved = set(policy.carved())
    for rule in policy.rules:
        if rule.path.parent != rule.path:
            assert (rule in carved) == (policy.access(rule.path.parent) > rule.access)


def test_two_rules_about_one_path() -> None:
    with pytest.raises(ValueError, match="two rules are about"):
        make_policy([Rule(Posix("/a"), READ), Rule(Posix("/a/"), WRITE)])
    with pytest.raises(ValueError, match="two rules are about"):
        make_policy([Rule(Windows("C:/A"), READ), Rule(Windows("c:\\a"), WRITE)])
    for path in ("a", "/a/../b", ""):
        with pytest.raises(ValueError, match="relative"):
            make_policy([Rule(Posix(path), READ)])


@given(rules_of(paths), st.text(max_size=30), st.booleans())
def test_access_never_raises(rules: list[Rule], text: str, windows: bool) -> None:
    policy = Policy(tuple({str(rule.path).lower(): rule for rule in rules}.values()))
    path = Windows(text) if windows else Posix(text)
    assert policy.access(path) in Access
    assert policy.matches_pattern(path) is False


@pytest.mark.parametrize("text", ["", ".", "ws", "../ws", "/ws/..", "/ws/../etc", "/other/../ws/x"])
def test_paths_that_may_lead_anywhere_have_no_access(text: str) -> None:
    policy = make_policy([Rule(Posix("/"), WRITE)], network=True)
    assert policy.is_unrestricted
    assert policy.access(Posix(text)) == NONE


def test_a_doubled_slash_is_one() -> None:
    policy = make_policy([Rule(Posix("/"), WRITE), Rule(Posix("/etc"), NONE)])
    assert policy.access(Posix("//etc/passwd")) == NONE
    assert policy.access(Posix("//usr")) == WRITE


@given(windows_paths)
def test_case_makes_no_difference_on_windows(path: PureWindowsPath) -> None:
    policy = make_policy([Rule(path, WRITE)])
    for text in (str(path).swapcase(), str(path).replace("\\", "/"), f"{path}\\below\\x"):
        assert policy.access(Windows(text)) == WRITE
    assert make_policy([Rule(Posix("/a"), WRITE)]).access(Posix("/A")) == NONE


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("C:\\ws\\file", WRITE),
        ("C:\\ws\\secret", NONE),
        ("C:\\WS\\SECRET\\x", NONE),
        ("C:\\ws\\secret.", NONE),
        ("C:\\ws\\secret . ", NONE),
        ("C:\\ws\\secret::$DATA", NONE),
        ("C:\\ws\\secret:stream", NONE),
        ("\\\\?\\C:\\ws\\secret\\x", NONE),
        ("\\\\?\\c:\\ws\\x", WRITE),
        ("C:ws\\x", NONE),
        ("\\ws\\x", NONE),
        ("D:\\ws\\x", NONE),
        ("\\\\srv\\share\\x", READ),
        ("\\\\?\\UNC\\SRV\\share\\x", READ),
        ("\\\\srv\\other\\x", NONE),
        ("\\\\.\\C:\\ws\\x", NONE),
        ("\\\\.\\pipe\\x", NONE),
    ],
)
def test_a_file_on_windows_has_many_names(text: str, access: Access) -> None:
    policy = make_policy(
        [
            Rule(Windows("C:\\ws"), WRITE),
            Rule(Windows("c:\\WS\\Secret"), NONE),
            Rule(Windows("\\\\srv\\share"), READ),
        ]
    )
    assert policy.access(Windows(text)) == access


def test_what_is_unrestricted() -> None:
    everything = [Rule(Posix("/"), WRITE)]
    assert make_policy(everything, network=True).is_unrestricted
    assert not make_policy(everything).is_unrestricted
    assert not make_policy(everything, network=True, denied_patterns=["/x*"]).is_unrestricted
    assert not make_policy([*everything, Rule(Posix("/a"), READ)], network=True).is_unrestricted
    assert not make_policy([Rule(Posix("/a"), WRITE)], network=True).is_unrestricted
    assert not make_policy([], network=True).is_unrestricted
    drives = [Windows("C:\\"), Windows("D:\\")]
    both = [Rule(drive, WRITE) for drive in drives]
    assert make_policy(both, network=True, roots=drives).is_unrestricted
    assert not make_policy(both[:1], network=True, roots=drives).is_unrestricted


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("/ws/*.env", "/ws/x.env", True),
        ("/ws/*.env", "/ws/.env", True),
        ("/ws/*.env", "/ws/x.env/below/it", True),
        ("/ws/*.env", "/ws/a/x.env", False),
        ("/ws/*.env", "/ws", False),
        ("/ws/**/*.env", "/ws/.env", True),
        ("/ws/**/*.env", "/ws/a/b/.c/x.env", True),
        ("/ws/**/a/**/b", "/ws/a/b", True),
        ("/ws/**/a/**/b", "/ws/x/a/y/z/b/c", True),
        ("/ws/**/a/**/b", "/ws/b/a", False),
        ("/ws/**", "/ws", True),
        ("/ws/**", "/w", False),
        ("/**/id_*", "/home/x/.ssh/id_rsa", True),
        ("/*", "/", False),
        ("/ws/?.[xy]", "/ws/a.x", True),
        ("/ws/?.[!xy]", "/ws/a.x", False),
        ("/ws/?.[^xy]", "/ws/a.x", False),
        ("/ws/[]a]", "/ws/]", True),
        ("/ws/[[]a]", "/ws/[a]", True),
        ("/ws/a", "/ws/A", False),
        ("/ws/a\nb", "/ws/a\nb", True),
        ("/ws/*\udcff", "/ws/x\udcff", True),
        ("/ws/plain", "/ws/plain/x", True),
        ("/ws/+(a)", "/ws/+(a)", True),
    ],
)
def test_what_patterns_match(pattern: str, path: str, is_match: bool) -> None:
    policy = make_policy([Rule(Posix("/"), WRITE)], denied_patterns=[pattern])
    assert policy.matches_pattern(Posix(path)) == is_match
    # The depth is about where backends look, not about what is denied.
    shallow = make_policy([Rule(Posix("/"), WRITE)], denied_patterns=[pattern], pattern_depth=1)
    assert shallow.matches_pattern(Posix(path)) == is_match


def test_patterns_of_windows() -> None:
    policy = make_policy([], denied_patterns=["C:/ws/**/*.Env"], roots=[Windows("C:\\")])
    assert policy.matches_pattern(Windows("c:\\WS\\a\\x.ENV"))
    assert not policy.matches_pattern(Windows("C:\\ws\\a\\x"))


@given(
    st.text(alphabet="ab*?[]!-.", min_size=1, max_size=8), st.text(alphabet="ab]-.!", min_size=1, max_size=6)
)
def test_one_name_matches_as_the_library_says(pattern: str, name: str) -> None:
    try:
        (read,) = read_pattern(pattern, windows=False) or [""]
    except PatternError:
        return
    if read == "**":
        assert matches([read], [name])
    else:
        assert matches([read], [name]) == fnmatch.fnmatchcase(name, pattern)


@given(st.text(st.characters(exclude_characters="/\\\0"), min_size=1).filter(lambda name: name.strip(".")))
def test_an_escaped_name_matches_itself_alone(name: str) -> None:
    pattern = read_pattern(f"/{escape(name)}", windows=False)
    assert matches(pattern, ["", name])
    assert not matches(pattern, ["", name + "x"])
    assert not matches(pattern, ["", "x" + name])


def test_a_pattern_made_to_be_slow_is_not() -> None:
    pattern = read_pattern("/" + "**/a*a*a*a*a*a*b/" * 200, windows=False)
    assert not matches(pattern, ["", *["a" * 250] * 200])


@given(st.text(max_size=40), st.booleans())
def test_reading_a_pattern_raises_nothing_else(text: str, windows: bool) -> None:
    try:
        found = read_pattern(text, windows=windows)
    except PatternError as error:
        assert str(error)
    else:
        # What is read is read again to the same.
        assert read_pattern("/".join(found), windows=windows) == found


# What an intent spells, as on Windows.


def refusal(call: Any, text: str) -> str:
    with pytest.raises(RpcError) as caught:
        call(text)
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    return caught.value.message


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc",
        "file:///C:/ws/../x",
        "file:///C:/ws/%2E%2e/x",
        "file:///C:/ws\\..\\x",
        "file:///C:/ws%5C..%5Cx",
        "file:///C:/ws/...",
        "file:///C:/ws/.%20/x",
        "file:///C:/ws/x:stream",
        "file:///%00/bad/path/XABcAC4AXABwAGkAcABlAA",
    ],
)
def test_paths_refused_on_windows(uri: str) -> None:
    assert "file:" in refusal(Spelling("windows").native, uri)


def test_paths_of_windows() -> None:
    spelling = Spelling("windows")
    assert spelling.native("file:///C:/ws/a..b") == "C:\\ws\\a..b"
    assert spelling.native("file://srv/share/x") == "\\\\srv\\share\\x"
    assert spelling.subpath("a/b") == spelling.subpath("a\\b") == "a\\b"
    assert spelling.pattern("C:\\ws\\**\\*.env") == ["C:", "ws", "**", "*.env"]
    assert spelling.pattern("codex-project-roots://a\\*") == ["a", "*"]


@pytest.mark.parametrize("text", ["\\a", "/a", "C:a", "C:\\a", "a\\..\\b", "a:b", "x\\a:b", "...", "a/.. "])
def test_subpaths_refused_on_windows(text: str) -> None:
    assert "'" in refusal(Spelling("windows").subpath, text)


@pytest.mark.parametrize(
    "text", ["/a/*", "\\a\\*", "\\\\srv\\share\\*", "codex-project-roots://C:\\*", "a\\..\\*"]
)
def test_patterns_refused_on_windows(text: str) -> None:
    assert "pattern" in refusal(Spelling("windows").pattern, text)
