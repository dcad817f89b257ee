"""What is called a denial: by evidence, by what was printed, and by the corpus of labelled commands."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from executors.process.output_log import OutputLog
from executors.sandbox.backend import Evidence
from executors.sandbox.denial import decide_by_evidence, decide_by_text, text_says_denied
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from tests.sandbox.corpus import CORPUS, Command, Score, run_all


@pytest.mark.parametrize(
    ("exit_code", "text", "denied"),
    [
        (1, "touch: cannot touch 'x': Permission denied", True),
        (2, "READ-ONLY FILE SYSTEM", True),
        (143, "kill: operation not permitted", True),
        (0, "Permission denied", False),
        (126, "Permission denied", False),
        (127, "Permission denied", False),
        (1, "Permission was not given", False),
        (1, "", False),
    ],
)
def test_the_text_rule(exit_code: int, text: str, denied: bool) -> None:
    assert text_says_denied(exit_code, text) is denied


@pytest.mark.parametrize(
    ("exit_code", "evidence", "denied"),
    [
        (1, Evidence("openat", "/etc/hosts"), True),
        (0, Evidence("openat", "/etc/hosts"), False),
        (126, Evidence("openat", "/etc/hosts"), True),
        (1, Evidence("socket", "AF_INET"), True),
        (1, Evidence("ptrace"), True),
        (1, Evidence("connect", "/run/docker.sock"), True),
        (1, None, None),
        # They are tried by the way.
        (1, Evidence("openat", "/lib/x/__pycache__/x.cpython-311.pyc.1"), None),
        (1, Evidence("mkdir", "/home/u/.cache/tool"), None),
        (1, Evidence("openat", "/r/.git/index.lock"), None),
        (1, Evidence("connect", "/run/systemd/userdb/io.systemd.Multiplexer"), None),
        (0, None, False),
    ],
)
def test_evidence(exit_code: int, evidence: Evidence | None, denied: bool | None) -> None:
    assert decide_by_evidence(exit_code, evidence) is denied


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """``in`` may be written, ``secret`` not even read, the rest of the file system read."""
    for name in ("in", "out", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        (tmp_path / name / "program").touch(0o755)
    return make_policy(
        [
            Rule(Path("/"), Access.READ),
            Rule(tmp_path / "in", Access.WRITE),
            Rule(tmp_path / "secret", Access.NONE),
        ],
        denied_patterns=[f"{tmp_path}/in/*.key"],
    )


TOLD = {
    "sh: 1: cannot create {out}/new: Permission denied": True,
    "bash: line 1: {out}/new: Read-only file system": True,
    "touch: cannot touch '{out}/new': Permission denied": True,
    "touch: cannot touch \u2018{out}/new\u2019: Permission denied": True,
    "touch: cannot touch '../out/new': Permission denied": True,
    "touch: cannot touch 'link/new': Permission denied": True,
    "tee: ../out/new: Permission denied": True,
    "sed: couldn't open temporary file {out}/sedX1: Permission denied": True,
    "Can't open '{out}/new' for writing: Permission denied at -e line 1.": True,
    "PermissionError: [Errno 13] Permission denied: '{out}/new'": True,
    "Error: EACCES: permission denied, open '{out}/new'": True,
    "open {out}/new: permission denied": True,
    "java.io.FileNotFoundException: {out}/new (Permission denied)": True,
    "mv: cannot move 'a' to '{out}/a': Permission denied": True,
    "\x1b[31mtouch: cannot touch '{out}/new': Permission denied\x1b[0m\r": True,
    "cat: {secret}/file: Permission denied": True,
    "ls: cannot open directory '{secret}': Permission denied": True,
    "cat: a.key: Permission denied": True,
    "chmod: changing permissions of '{out}/file': Operation not permitted": True,
    "kill: (123) - Operation not permitted": True,
    "socket: Operation not permitted": True,
    "curl: (6) Could not resolve host: example.org": True,
    "touch: cannot touch 'nowhere/new': Read-only file system": True,
    "no: Read-only file system at -e line 1.": True,
    "Read-only file system.": False,
    "12:00 GET /x 403 permission denied": False,
    "PermissionError: [Errno 13] Permission denied": False,
    "Permission denied": False,
    "git@host: Permission denied (publickey).": False,
    "touch: cannot touch '{in}/new': Permission denied": False,
    "touch: cannot touch 'new': Permission denied": False,
    "tee: new: Permission denied": False,
    "mkdir: cannot create directory '/sys/new': Permission denied": os.access("/sys", os.W_OK),
    "cat: {out}/nowhere/new: Permission denied": False,
    "Permission denied: \0{out}": True,
    f"cat: {'x' * 5000}: Permission denied": False,
    "": False,
}


@pytest.mark.parametrize("text", TOLD, ids=lambda text: text[:60].replace("\0", " "))
def test_what_a_program_tells(tmp_path: Path, policy: Policy, text: str) -> None:
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    (tmp_path / "in/a.key").write_text("x")
    names = {name: str(tmp_path / name) for name in ("in", "out", "secret")}
    told = f"first\n{text.format_map(names)}\nlast\n"
    cwd = str(tmp_path / "in")
    assert decide_by_text(1, told, policy, cwd, sees_denials=False) is TOLD[text]
    assert not decide_by_text(0, told, policy, cwd, sees_denials=False)
    assert not decide_by_text(127, told, policy, cwd, sees_denials=False)
    # There would be evidence.
    assert not decide_by_text(1, told, policy, cwd, sees_denials=True)


def test_an_open_network_is_no_reason(policy: Policy) -> None:
    network = make_policy(policy.rules, network=True)
    for text in ("socket: Operation not permitted", "curl: (6) Could not resolve host: example.org"):
        assert decide_by_text(1, text, policy, "/", sees_denials=False)
        assert not decide_by_text(1, text, network, "/", sees_denials=False)


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "/",
        "a/",
        "'",
        "`x",
        " /x ",
        "\u2018",
        ": ",
        "\x1b[",
        "\n",
        "permission denied ",
        "/x: permission denied\n",
    ],
)
def test_any_output_is_read_in_no_time(policy: Policy, piece: str) -> None:
    text = (piece * 65536)[:65000]
    # What took a time in proportion to the square of the length would take minutes.
    for told in (text, f"{text} permission denied", f"x: {text}: Permission denied"):
        decide_by_text(1, told, policy, "/", sees_denials=False)


def test_executing_is_told_by_words_alone(tmp_path: Path, policy: Policy) -> None:
    def denied(path: str) -> bool:
        text = f"sh: 1: {tmp_path / path}: Permission denied"
        return decide_by_text(126, text, policy, "/", sees_denials=True)

    assert denied("secret/program")
    assert not denied("secret/file")
    assert not denied("out/program")
    assert not denied("out/file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user to be")
def test_what_ordinary_permissions_keep_is_not_the_sandbox(tmp_path: Path, policy: Policy) -> None:
    (tmp_path / "in").chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 2
        try:
            os.setuid(65534)
            text = f"sh: 1: cannot create {tmp_path}/out/new: Permission denied"
            code = decide_by_text(1, text, policy, "/", sees_denials=False)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_tail_of_each_stream() -> None:
    log = OutputLog()
    assert log.tails(10) == []
    for number in range(100):
        log.append("stdout", b"%03d" % number)
    log.append("stderr", b"abc")
    log.append("stdout", b"xyz")
    assert sorted(log.tails(7)) == [b"8099xyz", b"abc"]
    assert sorted(log.tails(3)) == [b"abc", b"xyz"]


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CORPUS) >= 60
    assert len({command.name for command in CORPUS}) == len(CORPUS)
    assert 20 <= sum(command.denied for command in CORPUS) <= len(CORPUS) - 20


# A probe (signal 0) leaves no evidence; nobody can tell which of two failures ended a script; and as the
# super-user one may write there but for what the file system itself does not do.
EXPECTED_WRONG = {"kill -0, silent", "denied, then fails for another reason", "what nobody may write"}


@pytest.mark.parametrize("backend", ["landlock", "bubblewrap"])
def test_the_corpus(backend: str) -> None:
    commands: list[Command] = [command for command in CORPUS if command.missing is None]
    try:
        outcomes = asyncio.run(run_all(backend, commands))
    except LookupError as error:
        pytest.skip(str(error))
    text, ours = Score(), Score()
    for one in outcomes:
        text.add(one.command.denied, one.by_text)
        ours.add(one.command.denied, one.ours)
    wrong = {one.command.name: one for one in outcomes if one.ours != one.command.denied}
    assert ours.right > text.right
    assert ours.precision > text.precision
    if backend == "landlock":
        assert ours.recall > text.recall
        assert set(wrong) <= EXPECTED_WRONG, [wrong[name] for name in set(wrong) - EXPECTED_WRONG]
