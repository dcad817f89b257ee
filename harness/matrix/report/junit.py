"""JUnit XML, one document an environment, in the form that GitLab, Jenkins and the reporters for GitHub take.

There is no standard. The elements and their order are those that pytest writes (``junit_family=xunit2``);
a flaky case is a passed one with ``flakyFailure``, as Maven Surefire has it. A known gap counts as skipped.
A cell that is broken, unavailable or interrupted has one more test case that says so. What goes wrong in a
cell that is not required counts as skipped, for whoever counts failures fails by them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from harness.matrix.model import Case, Cell, CellStatus, Outcome, Results
from harness.matrix.summary import place_names

_FOREIGN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 section 2.2 does not allow, not even as a character reference."""


def junit_documents(results: Results) -> dict[str, bytes]:
    """Returns a document for each environment, by a name for its file."""
    environments: dict[str, list[Cell]] = {}
    for cell in results.cells:
        environments.setdefault(cell.key.environment, []).append(cell)
    documents: dict[str, bytes] = {}
    for environment, cells in environments.items():
        name = file_name(environment)
        number = 1
        while name in documents:
            number += 1
            name = file_name(f"{environment}-{number}")
        documents[name] = _document(environment, cells, results)
    return documents


def file_name(environment: str) -> str:
    """Returns a file name that every operating system takes, also for the URL of an executor."""
    return f"junit-{_safe(environment)}.xml"


def _safe(environment: str) -> str:
    return re.sub(r"[^\w.-]+", "-", environment, flags=re.ASCII).strip("-.")


def _document(environment: str, cells: Sequence[Cell], results: Results) -> bytes:
    root = Element("testsuites", name=_clean(f"crossexec matrix, {environment}"))
    places = place_names(cell.key for cell in cells)
    for cell in cells:
        # A service that collects several documents knows a case by class and name alone.
        prefix = re.sub(r"[\s.]+", "-", _safe(places[cell.key.column]))
        root.append(_suite(cell, prefix, results.started))
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, 0)) for suite in root)))
    root.set("time", f"{sum(cell.seconds for cell in cells):.3f}")
    ElementTree.indent(root, " ")
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(cell: Cell, prefix: str, started: str) -> Element:
    suite = Element("testsuite", name=_clean(str(cell.key)), time=f"{cell.seconds:.3f}")
    with suppress(ValueError):
        # The schemas that there are know a time without its offset only.
        suite.set("timestamp", datetime.fromisoformat(started).replace(tzinfo=None).isoformat())
    properties = SubElement(suite, "properties")
    for name, value in {"status": str(cell.status), **cell.versions}.items():
        SubElement(properties, "property", name=_clean(name), value=_clean(value))
    for case in cell.cases:
        suite.append(_case(case, prefix, cell.required))
    if (whole := _whole_cell(cell, prefix)) is not None:
        suite.append(whole)
    suite.set("tests", str(len(suite.findall("testcase"))))
    for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(total, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _whole_cell(cell: Cell, prefix: str) -> Element | None:
    match cell.status:
        case CellStatus.FINISHED:
            return None
        case CellStatus.BROKEN:
            tag, kind, message = ("error" if cell.required else "skipped"), "broken cell", cell.reason
        case CellStatus.UNAVAILABLE:
            tag, kind, message = "skipped", "unavailable", "; ".join(filter(None, (cell.reason, cell.remedy)))
        case CellStatus.INTERRUPTED:
            tag, kind, message = "skipped", "interrupted", cell.reason or "the run was interrupted"
    element = Element("testcase", classname=prefix, name=_clean(f"all of {cell.key.suite}"), time="0.000")
    SubElement(element, tag, type=kind, message=_clean(message)).text = _clean(message)
    return element


def _case(case: Case, prefix: str, required: bool) -> Element:
    classname, name = _address(case.test)
    classname = ".".join(filter(None, (prefix, classname)))
    element = Element("testcase", classname=_clean(classname), name=_clean(name), time=f"{case.seconds:.3f}")
    text = _clean(case.details.text if case.details else "")
    reason = _clean(case.reason)
    match case.outcome:
        case Outcome.FAILED | Outcome.ERROR if not required:
            kind = f"{case.outcome}, not required"
            SubElement(element, "skipped", type=kind, message=reason).text = text or reason
        case Outcome.FAILED:
            SubElement(element, "failure", type="failed", message=reason).text = text or reason
        case Outcome.ERROR:
            SubElement(element, "error", type="error", message=reason).text = text or reason
        case Outcome.FLAKY:
            flaky = SubElement(element, "flakyFailure", type="flaky", message=reason)
            SubElement(flaky, "stackTrace").text = text or reason
        case Outcome.GAP:
            owner = f" ({case.owner})" if case.owner else ""
            message = "; ".join(filter(None, (f"{reason}{_clean(owner)}", _clean(case.issue))))
            SubElement(element, "skipped", type="known gap", message=message).text = message
        case Outcome.SKIPPED | Outcome.UNAVAILABLE:
            SubElement(element, "skipped", type=str(case.outcome), message=reason).text = reason
        case Outcome.PASSED:
            pass
    if case.outcome.is_bad and (output := _output(case)):
        SubElement(element, "system-out").text = _clean(output)
    return element


def _output(case: Case) -> str:
    if case.details is None:
        return ""
    sections = dict(case.details.output)
    if case.details.wire:
        sections["Wire transcript"] = case.details.wire
    return "\n".join(f"--- {heading} ---\n{text.rstrip()}" for heading, text in sections.items())


def _address(test: str) -> tuple[str, str]:
    """Returns class and name that pytest gives a node id; parameters may hold what else would part it."""
    node, bracket, parameters = test.partition("[")
    file, *names = node.split("::")
    parts = [file.replace("/", ".").removesuffix(".py"), *names]
    return ".".join(parts[:-1]), parts[-1] + bracket + parameters


def _clean(text: str) -> str:
    return _FOREIGN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
