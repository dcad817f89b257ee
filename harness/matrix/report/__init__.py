"""The files that a run of the matrix leaves for people and for services."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from harness.matrix.model import Results, write_results
from harness.matrix.report.html import render
from harness.matrix.report.junit import junit_documents
from harness.matrix.report.markdown import markdown

RESULTS = "results.json"
SUMMARY = "summary.md"
PAGE = "index.html"


def write_report(results: Results, folder: Path) -> None:
    """Writes ``results.json``, ``summary.md``, ``index.html`` and a ``junit-ENV.xml`` for each environment.

    Nothing is replaced before all of them are written; reports of environments that *results* lack are
    removed. Other files are left alone.

    :param folder: made where it is missing.
    :raises OSError: something cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unfinished-", dir=folder) as name:
        unfinished = Path(name)
        junit = junit_documents(results)
        for file, document in junit.items():
            (unfinished / file).write_bytes(document)
        (unfinished / SUMMARY).write_bytes(markdown(results).encode("utf-8", "backslashreplace"))
        (unfinished / PAGE).write_bytes(render(results).encode("utf-8", "backslashreplace"))
        write_results(results, unfinished / RESULTS)
        for path in sorted(unfinished.iterdir()):
            path.replace(folder / path.name)
    for old in folder.glob("junit-*.xml"):
        if old.name not in junit:
            old.unlink()
