"""The Windows machine that workers get: a prefix, a Python, the executor and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.progress import SILENT, Progress
from harness.settings import Settings
from harness.sources import ExecutorSources
from harness.wine import bundle
from harness.wine.errors import storage_failed
from harness.wine.prefix import template
from harness.wine.program import UNIX_VARIABLES, Wine, find_wine
from harness.wine.sealed import SealedTree
from harness.wine.windows_python import WindowsPython, windows_python
from harness.wine.workplace import Workplace, workplace

_PACKAGES: Final = "crossexec/packages"
_EXECUTOR: Final = "crossexec/executor"
_MAKING_PARTS: Final = (
    "compiling the library of the Windows Python",
    "fetching the packages of the executor",
    "compiling the executor",
)
_COMPILE_SECONDS: Final = 300.0
# Byte code that is not compared with its source: nobody edits the source there.
_COMPILE: Final = (
    "import compileall, py_compile, re, sys;"
    "skipped = re.compile(r'[\\\\/](test|idlelib|site-packages)[\\\\/]');"
    "compileall.compile_dir(sys.argv[1], quiet=2, rx=skipped,"
    " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
)
_PROGRAMS: Final = Path(__file__).with_name("target")
_PYTHON_OPTIONS: Final = ("-I", "-S", "-B")
_PACKED: Final = f"{_EXECUTOR}/modules.bin"
_MODULES: Final = ("executors.command",)
_RELAY_MODULES: Final = (*_MODULES, "executors.remote.executor")


@dataclass(frozen=True)
class Machine:
    """Everything that a worker's copy is made of; all of it is in the cache.

    :ivar wine_version: as Wine tells it.
    :ivar python_version: such as ``(3, 13)``.
    :ivar python_origin: ``built``, or the path that was given.
    :ivar parts: what lies where below drive C:, by paths relative to it.
    """

    wine: Wine
    wine_version: str
    prefix: SealedTree
    python_version: tuple[int, int]
    python_origin: str
    parts: Mapping[str, SealedTree]

    @property
    def python(self) -> str:
        """Native path of python.exe in the target."""
        return _python(self.python_version)

    def fill(self, place: Workplace) -> None:
        """Fills an empty workplace.

        :raises OSError: the cache cannot be written.
        """
        _fill(place, self.prefix, self.parts)

    def executor_command(self) -> list[str]:
        """Returns what starts the executor; its own options may follow."""
        variables = " ".join(sorted(UNIX_VARIABLES))
        start = map(_native, (f"{_EXECUTOR}/start.py", _PACKED))
        return [str(self.wine.loader), self.python, *_PYTHON_OPTIONS, *start, variables, _SEARCH_PATH]


def prepare_machine(settings: Settings, cache: Path, progress: Progress, *, relay: bool = False) -> Machine:
    """Returns the machine of these *settings*; makes in the *cache* what is not there. It blocks.

    :param relay: with what an executor needs that dials out.
    :raises WineFailed: something is missing or broken here.
    """
    try:
        wine = find_wine(settings.wine)
        source = windows_python(settings.windows_python, cache, progress)
        wine_version = wine.version()
        prefix = template(wine, wine_version, cache)
        _create(prefix, "making a Wine prefix", progress)
        with source.tree.used():
            version = source.version()
        parts = _Workshop(wine, cache, prefix, version).parts(source, relay=relay)
        for tree, text in zip(parts.values(), _MAKING_PARTS, strict=True):
            _create(tree, text, progress)
    except OSError as error:
        raise storage_failed("preparing Wine", error, cache) from error
    return Machine(wine, wine_version, prefix, version, source.origin, parts)


def wanted_trees(settings: Settings, cache: Path) -> Callable[[str], bool]:
    """Returns what tells whether these *settings* may need a tree of that name in the *cache*.

    What is built takes minutes, so it counts as needed also where another Python is given.

    :raises WineFailed: there is no Wine, or no Windows Python where one should be: nobody can tell.
    """
    wine = find_wine(settings.wine)
    prefix = template(wine, wine.version(), cache)
    wanted = {prefix.folder.name}
    kinds: tuple[str, ...] = ()
    for given in {None, settings.windows_python}:
        source = windows_python(given, cache, SILENT)
        wanted |= {source.tree.folder.name, compiled_name(source)}
        if source.tree.exists():
            workshop = _Workshop(wine, cache, prefix, source.version())
            for relay in (False, True):
                parts = workshop.parts(source, relay=relay)
                wanted |= {tree.folder.name for tree in parts.values()}
        elif given == settings.windows_python:
            # Their names depend on what the Python turns out to be.
            kinds = ("packages-", "executor-")
    return lambda name: name in wanted or name.startswith(kinds)


def compiled_name(source: WindowsPython) -> str:
    """Returns the name in the cache of the tree that workers get of a Windows Python."""
    return f"{source.tree.folder.name}-compiled"


@dataclass(frozen=True)
class _Workshop:
    """Makes trees by the Windows Python itself, so that byte code names the paths of the target."""

    wine: Wine
    cache: Path
    prefix: SealedTree
    version: tuple[int, int]

    def parts(self, source: WindowsPython, *, relay: bool) -> dict[str, SealedTree]:
        """Returns what lies where below drive C:, each made of those before it; nothing is made yet.

        :param source: of this version.
        :param relay: with what an executor needs that dials out.
        """
        where = _python_folder(self.version)
        python = self.compiled(compiled_name(source), where, {where: source.tree})
        packages = self.compiled(
            f"packages-{bundle.key_of_packages(self.version, relay=relay)}",
            _PACKAGES,
            {where: python},
            lambda folder: bundle.install_packages(folder, self.version, relay=relay),
        )
        parts = {where: python, _PACKAGES: packages}
        return {**parts, _EXECUTOR: self.executor(parts, _RELAY_MODULES if relay else _MODULES)}

    def compiled(
        self,
        name: str,
        where: str,
        parts: Mapping[str, SealedTree],
        add: Callable[[Path], None] | None = None,
        then: Sequence[str] = (),
    ) -> SealedTree:
        """Returns the tree that is *where* below drive C: once its byte code is there.

        :param name: of the tree in the cache.
        :param parts: what is on the machine, the Windows Python among it.
        :param add: makes what is *where*, if none of the parts is there.
        :param then: arguments of a last run of the Python.
        """

        def make(tree: Path) -> None:
            with workplace(self.cache) as place:
                _fill(place, self.prefix, parts)
                folder = place.drive_c / where
                if add is not None:
                    folder.mkdir(parents=True)
                    add(folder)
                runs = [] if _is_compiled(folder) else [["-c", _COMPILE, _native(where)]]
                for arguments in (*runs, *([then] if then else [])):
                    command = [_python(self.version), *_PYTHON_OPTIONS, *arguments]
                    self.wine.run(place, command, f"compiling C:/{where} for Windows", _COMPILE_SECONDS)
                self.wine.wait_for_end(place, _COMPILE_SECONDS)
                tree.rmdir()
                folder.rename(tree)

        return SealedTree(self.cache / name, make)

    def executor(self, parts: Mapping[str, SealedTree], modules: Sequence[str]) -> SealedTree:
        """Returns the tree of the executor, for a machine with these *parts*.

        :param modules: which it imports at its start, with all that they import.
        """
        sources = ExecutorSources()
        programs = {path.name: path.read_bytes() for path in sorted(_PROGRAMS.glob("*.py"))}
        key = sources.key(repr(programs), *(tree.folder.name for tree in parts.values()))

        def add(folder: Path) -> None:
            sources.write(folder)
            for name, content in programs.items():
                (folder / name).write_bytes(content)

        pack = [_native(f"{_EXECUTOR}/pack.py"), _native(_PACKED), _SEARCH_PATH, *modules]
        return self.compiled(f"executor-{key}", _EXECUTOR, parts, add, pack)


def _is_compiled(folder: Path) -> bool:
    """Whether a Python in *folder* needs no compiling: its library has byte code, or is a zip file."""
    library = folder / "Lib"
    return (folder / "python.exe").exists() and (not library.exists() or (library / "__pycache__").exists())


def _create(tree: SealedTree, text: str, progress: Progress) -> None:
    if not tree.exists():
        with progress.stage(text):
            tree.create()


def _fill(place: Workplace, prefix: SealedTree, parts: Mapping[str, SealedTree]) -> None:
    prefix.place(place.prefix)
    for where, tree in parts.items():
        tree.place(place.drive_c / where)


def _python_folder(version: tuple[int, int]) -> str:
    return f"Python{version[0]}{version[1]}"


def _python(version: tuple[int, int]) -> str:
    return _native(f"{_python_folder(version)}/python.exe")


def _native(where: str) -> str:
    return "C:\\" + where.replace("/", "\\")


_SEARCH_PATH: Final = ";".join(map(_native, (_EXECUTOR, _PACKAGES)))
