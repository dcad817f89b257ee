"""What can be chosen, who owns what, and which wheels fit; no daemon is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import pytest

from harness.docker.options import OPTIONS, PROTECTIONS, DockerOptions, docker_options
from harness.docker.owner import Owner
from harness.docker.target import TargetPython
from harness.environments.docker import DockerEnvironment

pytestmark = pytest.mark.usefixtures("no_daemon")


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        ({}, {}, DockerOptions()),
        ({"image": "a"}, {}, DockerOptions(image="a")),
        ({}, {"CROSSEXEC_DOCKER_IMAGE": "b"}, DockerOptions(image="b")),
        ({"image": "a"}, {"CROSSEXEC_DOCKER_IMAGE": "b"}, DockerOptions(image="a")),
        ({}, {"CROSSEXEC_DOCKER_CONTAINER": "c"}, DockerOptions(container="c")),
        ({"image": "a"}, {"CROSSEXEC_DOCKER_CONTAINER": "c"}, DockerOptions(image="a")),
        ({"container": "c"}, {"CROSSEXEC_DOCKER_IMAGE": "b"}, DockerOptions(container="c")),
        ({"image": None}, {"CROSSEXEC_DOCKER_IMAGE": ""}, DockerOptions()),
        ({"pids": "0"}, {}, DockerOptions(pids=0)),
        ({"lift": "init, read-only"}, {}, DockerOptions(lift=frozenset({"init", "read-only"}))),
        ({"user": "1:2"}, {"CROSSEXEC_DOCKER_MEMORY": "1g"}, DockerOptions(user="1:2", memory="1g")),
    ],
)
def test_choices(given: Mapping[str, str | None], environ: Mapping[str, str], found: DockerOptions) -> None:
    assert docker_options(given, environ) == found


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"lift": "everything"}, "everything"),
        ({"user": "root"}, "root"),
        ({"memory": "much"}, "much"),
        ({"tmp": "-1"}, "-1"),
        ({"pids": "some"}, "some"),
        ({"pids": "-1"}, "-1"),
        ({"image": "a", "container": "b"}, "image"),
    ],
)
def test_what_cannot_be_meant(given: Mapping[str, str], word: str) -> None:
    with pytest.raises(ValueError, match="docker") as refused:
        docker_options(given, {})
    assert word in str(refused.value)


def test_without_docker_py_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    found = DockerEnvironment(DockerOptions()).available()
    assert not found
    assert found.remedy == "pip install 'crossexec[docker]'"
    assert "docker-py is not installed" in found.reason


def test_every_choice_has_a_flag_and_a_variable() -> None:
    assert {option.name for option in OPTIONS} == set(DockerOptions.__dataclass_fields__)
    assert {option.flag for option in OPTIONS} >= {"--docker-image", "--docker-container", "--docker-network"}
    assert {option.variable for option in OPTIONS} >= {"CROSSEXEC_DOCKER_CONTAINER"}
    assert all(name in OPTIONS[-1].help for name in PROTECTIONS)


def test_an_owner_goes_through_its_text() -> None:
    owner = Owner.current()
    assert Owner.parse(str(owner)) == owner
    assert owner.pid == os.getpid()
    assert not owner.is_known_dead()


@pytest.mark.parametrize("text", ["", "a-b-c-d-e", "a-b-1-2", "a-b-1-2-3-4", "a-b-1-2--3"])
def test_what_names_no_owner(text: str) -> None:
    assert Owner.parse(text) is None


@pytest.mark.parametrize(
    ("libc", "first", "has", "has_not"),
    [
        ("glibc 2.36", "manylinux_2_36_x86_64", "manylinux2014_x86_64", "musllinux_1_2_x86_64"),
        ("glibc 2.17", "manylinux_2_17_x86_64", "manylinux_2_5_x86_64", "manylinux_2_18_x86_64"),
        ("musl", "musllinux_1_2_x86_64", "musllinux_1_1_x86_64", "manylinux2014_x86_64"),
    ],
)
def test_platforms(libc: str, first: str, has: str, has_not: str) -> None:
    tags = TargetPython("/usr/bin/python3", (3, 11), "x86_64", libc).platforms()
    assert tags[0] == first
    assert has in tags
    assert has_not not in tags
