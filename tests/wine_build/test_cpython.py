"""What is compiled: read from Microsoft's project files, with flags that name real folders."""

from pathlib import Path

import pytest

from harness.wine.crossbuild.cpython import Folders, project_sources
from harness.wine.crossbuild.extensions import EXTENSIONS

PROJECT = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<Project>
  <ItemGroup>
    <ClInclude Include="..\\Include\\Python.h" />
    <ClCompile Include="..\\Modules\\zlibmodule.c" />
    <ClCompile Include="$(zlibDir)\\inflate.c">
      <DisableSpecificWarnings>4244</DisableSpecificWarnings>
    </ClCompile>
    <ClCompile Include="$(mpdecimalDir)libmpdec\\io.c" />
  </ItemGroup>
</Project>
"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    names = ("python", "zlib", "bzip2", "libffi", "openssl")
    (tmp_path / "python/PCbuild").mkdir(parents=True)
    (tmp_path / "python/PCbuild/thing.vcxproj").write_text(PROJECT, encoding="utf-8")
    return Folders({name: tmp_path / name for name in names}, tmp_path / "headers", tmp_path / "objects")


def test_a_project_file_names_sources_of_all_upstreams(folders: Folders, tmp_path: Path) -> None:
    assert project_sources(folders, "thing") == [
        tmp_path / "python/Modules/zlibmodule.c",
        tmp_path / "zlib/inflate.c",
        tmp_path / "python/Modules/_decimal/libmpdec/io.c",
    ]


def test_a_folder_that_is_not_known_is_no_silent_gap(folders: Folders) -> None:
    project = folders.sources["python"] / "PCbuild/other.vcxproj"
    project.write_text('<ClCompile Include="$(tclDir)\\tcl.c" />')
    with pytest.raises(KeyError, match="tclDir"):
        project_sources(folders, "other")


def test_flags_of_extensions_name_folders_that_there_are(folders: Folders, tmp_path: Path) -> None:
    for extension in EXTENSIONS:
        filled = folders.fill(extension.flags)
        assert all(str(tmp_path) in flag for flag in filled if flag.startswith("-I")), extension.name
