"""What a user chooses: arguments before variables before defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cache import VARIABLE, cache_folder
from harness.docker.options import OPTIONS
from harness.settings import VARIABLES, Settings, read_settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES.values(), VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_without_a_choice_the_defaults_hold() -> None:
    assert read_settings() == Settings()


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variable in VARIABLES.items():
        monkeypatch.setenv(variable, f"/from/variable/{name}")
    found = read_settings()
    assert {name: getattr(found, name) for name in VARIABLES} == {
        name: Path(f"/from/variable/{name}") for name in VARIABLES
    }


def test_what_a_container_is_made_of_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.setenv("CROSSEXEC_DOCKER_IMAGE", "from-variable")
    assert read_settings().docker.image == "from-variable"
    assert read_settings(docker={"image": "given"}).docker.image == "given"
    with pytest.raises(ValueError, match="no-such"):
        read_settings(docker={"lift": "no-such"})


def test_what_is_given_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLES["wine"], "/from/variable")
    assert read_settings(wine=Path("/given")).wine == Path("/given")


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLES["wine"], "")
    assert read_settings().wine is None


def test_the_cache_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "crossexec"


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "elsewhere")
    assert cache_folder() == tmp_path / "elsewhere"
