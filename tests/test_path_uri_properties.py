"""PathUri by law, on generated paths: round trips, joins and containment, with CPython's for oracles."""

from __future__ import annotations

import ntpath
import posixpath
import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st

from executors.protocol.path_uri import Convention, PathUri, PathUriError

POSIX, WINDOWS = Convention.POSIX, Convention.WINDOWS
PLATFORM = {POSIX: "linux", WINDOWS: "windows"}

# Characters that some rule treats apart, so that short texts meet the rules often.
SPECIAL = "%/\\.:|~?#^` {}abcC25eEfF0\x7f\té日\U0001f600"
SURROGATES = "\ud800\udbff\udc00\udfff"
SEPARATORS = re.compile(r"[\\/]")

special_text = st.text(st.sampled_from(SPECIAL), max_size=12)
text_without_surrogates = special_text | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
code_units = st.text(st.sampled_from(SPECIAL + SURROGATES + "\0") | st.characters(), max_size=12)

posix_names = st.binary(min_size=1, max_size=6).filter(
    lambda name: name not in (b".", b"..") and not re.search(rb"[/\0]", name)
)
windows_names = text_without_surrogates.map(lambda text: re.sub(r"[\\/\0]", "", text)).filter(
    lambda name: name not in ("", ".", "..")
)
drives = st.sampled_from(["C:", "c:", "Z:"])
servers = st.from_regex(r"[a-z0-9_-][a-z0-9_.$-]{0,5}", fullmatch=True).filter(
    lambda name: name != "localhost"
)


def below(root: str, names: list[str]) -> str:
    return root + "\\" + "\\".join(names)


posix_paths = st.lists(posix_names, max_size=5).map(lambda names: b"/" + b"/".join(names))
drive_paths = st.builds(below, drives, st.lists(windows_names, max_size=5))
unc_paths = st.builds(
    below, servers.map(lambda name: "\\\\" + name), st.lists(windows_names, min_size=1, max_size=5)
)
windows_paths = drive_paths | unc_paths
windows_prefixes = st.sampled_from(
    [
        "C:\\",
        "C:/",
        "\\\\",
        "//",
        "\\/",
        "\\\\.\\",
        "\\\\?\\",
        "//?/",
        "//?\\",
        "\\\\?\\C:\\",
        "\\\\?\\UNC\\s\\",
    ]
)
ordinary = st.builds(PathUri.from_native, posix_paths, st.just(POSIX)) | st.builds(
    PathUri.from_native, windows_paths, st.just(WINDOWS)
)

url_prefixes = st.sampled_from(
    ["file:", "file:/", "file://", "file:///", "FILE:\\\\\\", "file:///C|/", "file:////C:/", "file://server/"]
)
url_tokens = st.sampled_from(
    [
        "/",
        "\\",
        ".",
        "..",
        "%2e",
        "%2F",
        "%5c",
        "%",
        "%FF",
        "C:",
        "C|",
        "a",
        "B c",
        "localhost",
        "é",
        "\t",
        "%20",
    ]
)
url_texts = st.builds(str.__add__, url_prefixes, st.lists(url_tokens, max_size=8).map("".join))
fallback_texts = st.builds(
    str.__add__,
    st.just("file:///%00/bad/path/"),
    st.from_regex(r"(XABcAC4AXAB|QwA6AFwA|L3|)[A-Dg]{0,8}", fullmatch=True),
)
refused_tokens = st.sampled_from(["?", "#", "@", ":80", "[", "%00", "\0", "\ud800", "/%00/bad/path/L3gA"])
hostile_texts = st.lists(url_prefixes | url_tokens | refused_tokens | special_text, max_size=8).map("".join)


@st.composite
def received(draw: st.DrawFn) -> PathUri:
    """What a peer may send: parsed from text, so with empty segments, odd spellings and fallbacks."""
    try:
        return PathUri.parse(draw(url_texts | fallback_texts))
    except PathUriError:
        reject()


any_uri = ordinary | received()


def has_drive(text: str) -> bool:
    """Whether ntpath and Win32 take the beginning of *text* for a drive."""
    return text[1:2] == ":" and not text.startswith(("\\", "/"))


def relative_texts(convention: Convention) -> st.SearchStrategy[str]:
    """Native text that a join accepts and that neither replaces its base nor starts from the root."""
    parts = st.sampled_from(["", ".", "..", "...", "a", "b c", "%2e", "~", "C|", "xx:y"]) | special_text
    texts = st.lists(parts, max_size=5).map("/".join)
    if convention is POSIX:
        return texts.map(lambda text: text.lstrip("/"))
    return texts.map(lambda text: text.lstrip("\\/")).filter(lambda text: not has_drive(text))


def units(text: str) -> bytes:
    """The UTF-16 code units of *text*, which are what Windows compares."""
    return text.encode("utf-16-le", "surrogatepass")


def trusted(uri: PathUri) -> bool:
    """Whether containment is not refused for an encoded separator or a Windows name of dots and spaces."""
    return uri.starts_with(uri)


@given(posix_paths)
@example(b"/C:/x")
@example(b"/C|")
@example(b"/\xff%2e%00")
def test_posix_bytes_come_back(path: bytes) -> None:
    uri = PathUri.from_native(path, POSIX)
    assert not uri.is_fallback
    for platform in ("linux", "macos"):
        native = uri.to_native(platform)
        assert native.encode("utf-8", "surrogateescape") == path
        assert PathUri.from_native(native, POSIX) == uri


@given(st.binary(max_size=12).map(lambda tail: b"/" + tail))
@example(b"/tmp/null-\0-\xff-byte")
@example(b"//a/../C:/./b/")
def test_every_absolute_posix_path_has_a_uri(path: bytes) -> None:
    uri = PathUri.from_native(path, POSIX)
    back = uri.to_native("linux").encode("utf-8", "surrogateescape")
    assert back == (path if b"\0" in path else posixpath.normpath(b"/" + path.lstrip(b"/")))
    assert uri.is_fallback is (b"\0" in path)
    assert PathUri.parse(str(uri)) == uri
    assert PathUri.from_native(back, POSIX) == uri


@given(windows_paths)
@example("C:\\a:b\\C|")
@example("\\\\server\\C|")
def test_windows_paths_come_back(path: str) -> None:
    uri = PathUri.from_native(path, WINDOWS)
    assert not uri.is_fallback
    assert uri.to_native("windows") == path
    assert PathUri.from_native(path.replace("\\", "/"), WINDOWS) == uri
    assert PathUri.from_native(path.encode(), WINDOWS) == uri


@given(windows_prefixes, code_units)
@example("C:\\", "\ud83d\ude00")
@example("C:\\", "a\0\ud800")
@example("//?/", "C:\\x")
@example("\\\\", "\u212a\\x")
def test_every_absolute_windows_path_has_a_uri(prefix: str, rest: str) -> None:
    path = prefix + rest
    uri = PathUri.from_native(path, WINDOWS)
    back = uri.to_native("windows")
    assert uri.convention is WINDOWS
    assert PathUri.parse(str(uri)) == uri
    assert PathUri.from_native(back, WINDOWS) == uri
    if uri.is_fallback:
        # Slashes may have changed, but not after \\?\, nor so that the prefix is one.
        assert units(back.replace("/", "\\")) == units(path.replace("/", "\\"))
        assert back.startswith("\\\\?\\") == path.startswith("\\\\?\\")
        assert units(back) == units(path) or not path.startswith("\\\\?\\")


@given(windows_prefixes, special_text, st.sampled_from(SURROGATES + "\0"), special_text)
def test_nul_and_lone_surrogates_need_a_fallback(prefix: str, before: str, char: str, after: str) -> None:
    uri = PathUri.from_native(f"{prefix}{before}{char}{after}", WINDOWS)
    resolved_away = char != "\0" and ".." in SEPARATORS.split(after)
    assert uri.is_fallback or resolved_away


@given(windows_paths)
@example("C:\\a \\b")
@example("C:\\nul")
def test_verbatim_prefix_goes_only_where_it_changes_nothing(path: str) -> None:
    verbatim = "\\\\?\\UNC" + path[1:] if path.startswith("\\\\") else "\\\\?\\" + path
    uri = PathUri.from_native(verbatim, WINDOWS)
    if uri.is_fallback:
        assert uri.to_native("windows") == verbatim
    else:
        assert uri == PathUri.from_native(path, WINDOWS)
        assert not re.search(r"[. ](\\|\Z)", path[2:])
        assert not re.search(r"\\(con|prn|aux|nul|com\d|lpt\d)([.:\\]|\Z)", path, re.IGNORECASE)


@given(url_texts | fallback_texts)
@example("file:////C:/x")
@example("file:///%00/bad/path/L3RtcA")
@example("file:///%00/bad/path/LwAuAC8AeAA")
def test_parsing_is_idempotent(text: str) -> None:
    try:
        uri = PathUri.parse(text)
    except PathUriError:
        reject()
    again = PathUri.parse(str(uri))
    assert again == uri
    assert hash(again) == hash(uri)
    assert (again.convention, again.authority) == (uri.convention, uri.authority)
    assert again.is_fallback == uri.is_fallback
    assert re.fullmatch("file://[!-~]*", str(uri))


@given(hostile_texts)
def test_any_text_is_a_uri_or_the_one_error(text: str) -> None:
    try:
        uri = PathUri.parse(text)
    except PathUriError as error:
        assert repr(text) in str(error)
        return
    assert not re.search(r"[?#\\\0]|(^|/)\.\.?(/|$)", str(uri))
    assert "%00" not in str(uri) or uri.is_fallback


@given(any_uri)
def test_only_the_own_convention_has_a_native_form(uri: PathUri) -> None:
    for platform, convention in (("linux", POSIX), ("macos", POSIX), ("windows", WINDOWS)):
        if convention is not uri.convention:
            with pytest.raises(PathUriError, match=f"^'{re.escape(str(uri))}' is invalid on '{platform}'$"):
                uri.to_native(platform)


@given(any_uri)
@example(PathUri.parse("file:////C:/x"))
@example(PathUri.parse("file://server//share//x"))
def test_native_form_leads_back_to_the_same_place(uri: PathUri) -> None:
    convention = uri.convention
    assume(convention is not None)
    assert convention is not None
    try:
        native = uri.to_native(PLATFORM[convention])
    except PathUriError:
        assert re.search("%(2f|5c|[89a-f])", str(uri), re.IGNORECASE)
        return
    back = PathUri.from_native(native, convention)
    assert (back.convention, back.authority) == (convention, uri.authority)
    assert back.is_fallback == uri.is_fallback
    assert back.to_native(PLATFORM[convention]).rstrip("/\\") == native.rstrip("/\\")
    assert back.starts_with(uri) == uri.starts_with(back) == trusted(uri)


@given(any_uri)
def test_rendering_is_the_native_form_as_far_as_it_is_unicode(uri: PathUri) -> None:
    shown = uri.render()
    shown.encode("utf-8")
    if "\ufffd" not in shown and shown != str(uri):
        assert uri.convention is not None
        assert uri.to_native(PLATFORM[uri.convention]) == shown


@given(any_uri)
@example(PathUri.parse("file:////C:/x/y"))
@example(PathUri.parse("file://server//C|/x"))
def test_ancestors_are_the_chain_of_parents(uri: PathUri) -> None:
    chain = list(uri.ancestors())
    assert chain[0] == uri
    assert [place.parent for place in chain] == [*chain[1:], None]
    for place in chain:
        assert (place.convention, place.authority) == (uri.convention, uri.authority)
        assert PathUri.parse(str(place)) == place
        assert uri.starts_with(place) == trusted(uri)
        assert place is uri or not place.starts_with(uri)
    assert not uri.is_fallback or chain == [uri]


@given(any_uri)
def test_parent_and_basename_make_the_path(uri: PathUri) -> None:
    parent, name = uri.parent, uri.basename
    if parent is None:
        assert name is None
    elif name is not None and not (uri.convention is WINDOWS and has_drive(name)):
        again = parent.join(name)
        assert (again.parent, again.basename) == (parent, name)
        assert again.starts_with(uri) == uri.starts_with(again) == trusted(uri)


@given(st.data())
def test_join_laws(data: st.DataObject) -> None:
    base = data.draw(ordinary)
    convention = base.convention
    assert convention is not None
    one, two = data.draw(relative_texts(convention)), data.draw(relative_texts(convention))
    joined = base.join(one)
    assert base.join("") == base.join(".") == base
    assert (joined.convention, joined.authority) == (convention, base.authority)
    assert PathUri.parse(str(joined)) == joined
    # Two joins are one join of both texts.
    assert joined.join(two) == base.join(f"{one or '.'}/{two}")
    # Absolute text replaces the base.
    assert base.join(joined.to_native(PLATFORM[convention])) == joined
    # The root is never left, and nor is the base without "..".
    if trusted(joined):
        *_, root = base.ancestors()
        assert joined.starts_with(root)
        parts = SEPARATORS.split(one) if convention is WINDOWS else one.split("/")
        assert ".." in parts or joined.starts_with(base)


@given(st.data())
def test_join_refuses_nul(data: st.DataObject) -> None:
    base = data.draw(ordinary)
    assert base.convention is not None
    before, after = data.draw(relative_texts(base.convention)), data.draw(special_text)
    with pytest.raises(PathUriError, match="NUL"):
        base.join(f"{before}\0{after}")


@given(any_uri, any_uri)
def test_containment_crosses_neither_authority_nor_convention(one: PathUri, two: PathUri) -> None:
    if one.starts_with(two):
        assert (one.convention, one.authority) == (two.convention, two.authority)
        assert one == two or not (one.is_fallback or two.is_fallback)


@given(st.lists(windows_names, max_size=3), servers, servers)
def test_the_same_names_elsewhere_are_elsewhere(names: list[str], one: str, two: str) -> None:
    assume(one != two)
    path = "/".join(["share", *names])
    places = [PathUri.from_native(f"{root}/{path}", WINDOWS) for root in (f"//{one}", f"//{two}", "C:", "D:")]
    places.append(PathUri.from_native(f"/{path}", POSIX))
    for place in places:
        assert [other for other in places if place.starts_with(other)] == [place] * trusted(place)


@given(ordinary, st.text(st.sampled_from("abC .$%"), min_size=1, max_size=3))
def test_a_longer_name_is_another_name(base: PathUri, more: str) -> None:
    name, parent = base.basename, base.parent
    assume(name is not None and parent is not None and not has_drive(name + more))
    assert name is not None
    assert parent is not None
    sibling = parent.join(name + more)
    assert not sibling.starts_with(base)
    assert not base.starts_with(sibling)


@given(ordinary, st.sampled_from(["%2F", "%2f"]), st.sampled_from(["..", "x", ""]))
def test_encoded_separators_are_contained_by_nothing(base: PathUri, separator: str, name: str) -> None:
    uri = PathUri.parse(f"{base}/..{separator}{name}")
    assert not any(uri.starts_with(place) for place in (*base.ancestors(), uri))
    assert not base.starts_with(uri)
    assert uri.basename is None


# Oracles: CPython's lexical path modules, where their rules are the same.


@given(posix_paths, st.binary(max_size=12) | posix_paths)
def test_posix_join_is_that_of_posixpath(base: bytes, text: bytes) -> None:
    assume(b"\0" not in text)
    uri = PathUri.from_native(base, POSIX).join(text.decode("utf-8", "surrogateescape"))
    expected = posixpath.normpath(posixpath.join(base, text))
    assert uri.to_native("linux").encode("utf-8", "surrogateescape") == re.sub(b"^//", b"/", expected)


# Some versions of ntpath join a share without a separator after it as if it were relative.
@given(windows_paths, relative_texts(WINDOWS) | windows_paths.map(lambda path: path + "\\"))
def test_windows_join_is_that_of_ntpath(base: str, text: str) -> None:
    native = PathUri.from_native(base, WINDOWS).join(text).to_native("windows")
    # ntpath takes a colon at the end of a share for that of a drive.
    assume(not re.match(r"\\\\[^\\]*\\[^\\]*:(\\|\Z)", base))
    assert native.rstrip("\\") == ntpath.normpath(ntpath.join(base, text)).rstrip("\\")


@given(windows_paths, relative_texts(WINDOWS))
def test_windows_rooted_join_is_that_of_ntpath(base: str, text: str) -> None:
    # ntpath takes "\:" for a drive.
    assume(not text.startswith(":"))
    native = PathUri.from_native(base, WINDOWS).join("\\" + text).to_native("windows")
    assert native.rstrip("\\") == ntpath.normpath(ntpath.join(base, "\\" + text)).rstrip("\\")


@given(posix_paths)
def test_posix_names_are_those_of_pathlib(path: bytes) -> None:
    uri, pure = PathUri.from_native(path, POSIX), PurePosixPath(path.decode("utf-8", "surrogateescape"))
    assert (uri.basename or "") == pure.name
    assert [place.to_native("linux") for place in uri.ancestors()] == [str(pure), *map(str, pure.parents)]


@given(windows_paths)
def test_windows_names_are_those_of_pathlib(path: str) -> None:
    uri, pure = PathUri.from_native(path, WINDOWS), PureWindowsPath(path)
    assert (uri.basename or "") == pure.name
    # pathlib ends the root of a share with a backslash.
    chain = [place.to_native("windows").rstrip("\\") for place in uri.ancestors()]
    assert chain == [str(place).rstrip("\\") for place in (pure, *pure.parents)]


@given(posix_paths, posix_paths)
def test_posix_containment_is_that_of_pathlib(one: bytes, two: bytes) -> None:
    for path in (one, two, one.rstrip(b"/") + two, one + b"x"):
        pure, base = (PurePosixPath(each.decode("utf-8", "surrogateescape")) for each in (path, one))
        contained = PathUri.from_native(path, POSIX).starts_with(PathUri.from_native(one, POSIX))
        assert contained == pure.is_relative_to(base)


@given(windows_paths, windows_paths, st.lists(windows_names, max_size=2))
def test_windows_containment_is_that_of_pathlib_but_for_case(one: str, two: str, names: list[str]) -> None:
    # Some versions of pathlib take a colon at the end of a name for that of a drive.
    assume(not any(":" in text for text in (one[2:], two[2:], *names)))
    for path in (one, two, below(two, names)):
        uri, base = PathUri.from_native(path, WINDOWS), PathUri.from_native(two, WINDOWS)
        contained = PureWindowsPath(path).is_relative_to(PureWindowsPath(two))
        if uri.starts_with(base):
            assert contained
        elif trusted(uri) and trusted(base):
            assert not contained or not uri.to_native("windows").startswith(base.to_native("windows"))
