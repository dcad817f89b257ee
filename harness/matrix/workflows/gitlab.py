"""The pipeline of GitLab CI, to be included by ``.gitlab-ci.yml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from harness.matrix.definition import CheckJob, Runner
from harness.matrix.workflows.plan import Part, Plan
from harness.matrix.workflows.yaml import Value

_TAGS: Final[Mapping[Runner, str]] = {
    "macos": "saas-macos-medium-m1",
    "windows": "saas-windows-medium-amd64",
}
"""Of the runners that gitlab.com has; Linux jobs go to any that has no tag."""

# A job's lines share one shell, so that what one of them activates stays so.
_VENV: Final[Mapping[Runner, tuple[str, ...]]] = {
    "linux": (),
    "macos": ("python3 -m venv .venv", ". .venv/bin/activate"),
    "windows": ("python -m venv .venv", r".venv\Scripts\Activate.ps1"),
}


def workflow(plan: Plan) -> dict[str, Value]:
    jobs: dict[str, Value] = {}
    for name, job in plan.ci.jobs.items():
        jobs |= _check(plan, name, job)
    for runner, parts in plan.parts.items():
        jobs[f".{runner}"] = _template(plan, runner)
        for part in parts:
            jobs[f"{runner} {part.name}"] = _matrix(plan, runner, part)
    return {"stages": ["test", "report"], **jobs, "report": _report(plan)}


def _check(plan: Plan, name: str, job: CheckJob) -> dict[str, Value]:
    rest: dict[str, Value] = {"stage": "test", **_cache(name, job.recipes), "script": [job.run]}
    if not job.pythons:
        return {name: {**_machine(plan), **rest}}
    return {f"{name} {python}": {"image": f"python:{python}", **rest} for python in job.pythons}


def _template(plan: Plan, runner: Runner) -> Value:
    if runner == "linux":
        return {**_machine(plan), "stage": "test"}
    return {
        "tags": [_TAGS[runner]],
        "stage": "test",
        # Whoever has no such runner would wait for it without end.
        "when": "manual",
        "allow_failure": True,
        "before_script": [*_VENV[runner], plan.install],
    }


def _matrix(plan: Plan, runner: Runner, part: Part) -> Value:
    # Of its own: the job that merges has the files of all of them in one tree.
    out = f"results/{runner}/{part.name}"
    return {
        "extends": f".{runner}",
        **_cache(part.environment, part.recipes),
        "script": [f"{plan.command(runner)} {part.arguments} --out={out}"],
        "artifacts": {
            "when": "always",
            "paths": [out],
            "reports": {"junit": f"{out}/junit-*.xml"},
        },
    }


def _report(plan: Plan) -> Value:
    """A report for each kind of machine: its cells have the names of another kind's."""
    return {
        "stage": "report",
        "image": f"python:{plan.ci.python}",
        "when": "always",
        "script": [
            plan.install,
            "for runner in results/*; do\n"
            '  crossexec report --out="report/${runner#results/}" "$runner"/*\n'
            "done",
        ],
        "artifacts": {"when": "always", "paths": ["report"], "expose_as": "matrix"},
    }


def _machine(plan: Plan) -> dict[str, Value]:
    if plan.ci.image is None:
        return {"image": f"python:{plan.ci.python}", "before_script": [plan.install]}
    prepare: dict[str, Value] = {"before_script": [plan.ci.prepare]} if plan.ci.prepare else {}
    return {"image": plan.ci.image, **prepare}


def _cache(name: str, recipes: Sequence[str]) -> dict[str, Value]:
    """What an environment needs once on a machine. By name alone: GitLab replaces what it keeps, and what the
    recipes no longer name is never used."""
    if not recipes:
        return {}
    return {
        "variables": {"CROSSEXEC_CACHE": "$CI_PROJECT_DIR/.cache"},
        "cache": {"key": name, "paths": [".cache"], "when": "always"},
    }
