"""The workflow of GitHub Actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.matrix.definition import CheckJob, Runner
from harness.matrix.workflows.plan import Plan
from harness.matrix.workflows.yaml import Value

_MACHINES: Final[Mapping[Runner, str]] = {
    "linux": "ubuntu-latest",
    "macos": "macos-latest",
    "windows": "windows-latest",
}
_CHECKOUT: Final[Value] = {"uses": "actions/checkout@v4", "with": {"persist-credentials": False}}
_OUT: Final = "matrix-results"


def workflow(plan: Plan) -> dict[str, Value]:
    jobs: dict[str, Value] = {name: _check(plan, name, job) for name, job in plan.ci.jobs.items()}
    for runner in plan.parts:
        jobs[runner] = _matrix(plan, runner)
    jobs["report"] = _report(plan)
    return {
        "name": "matrix",
        "on": {"push": {"branches": ["main"]}, "pull_request": None, "workflow_dispatch": None},
        "permissions": {"contents": "read"},
        "defaults": {"run": {"shell": "bash"}},
        "jobs": jobs,
    }


def _check(plan: Plan, name: str, job: CheckJob) -> Value:
    if not job.pythons:
        begin = _begin(plan, "linux")
        machine = _machine(plan, "linux")
    else:
        begin = [_CHECKOUT, _python("${{ matrix.python }}")]
        machine = {
            "runs-on": _MACHINES["linux"],
            "strategy": {"fail-fast": False, "matrix": {"python": list(job.pythons)}},
        }
    patterns = ", ".join(f"'{pattern}'" for pattern in job.recipes)
    cache = _cache(f"{name}-${{{{ hashFiles({patterns}) }}}}") if patterns else []
    return {**machine, "timeout-minutes": 60, "steps": [*begin, *cache, _run(job.run)]}


def _matrix(plan: Plan, runner: Runner) -> Value:
    parts: list[Value] = []
    for part in plan.parts[runner]:
        entry = {"part": part.name, "arguments": part.arguments}
        if part.recipes:
            # Shards share what the preparation makes. hashFiles takes patterns one a line.
            entry |= {"environment": part.environment, "recipes": "\n".join(part.recipes)}
        parts.append(entry)
    cache: list[Value] = []
    if any(part.recipes for part in plan.parts[runner]):
        key = "${{ matrix.environment }}-${{ hashFiles(matrix.recipes) }}"
        cache = _cache(key, condition="${{ matrix.recipes }}")
    return {
        "name": f"{runner} ${{{{ matrix.part }}}}",
        **_machine(plan, runner),
        "timeout-minutes": 120,
        "strategy": {"fail-fast": False, "matrix": {"include": parts}},
        "steps": [
            *_begin(plan, runner),
            *cache,
            _run(f"{plan.command(runner)} ${{{{ matrix.arguments }}}} --out={_OUT}"),
            *_publish(f"{_OUT}/summary.md", f"matrix-{runner}-${{{{ matrix.part }}}}", _OUT),
        ],
    }


def _report(plan: Plan) -> Value:
    """A report for each kind of machine: its cells have the names of another kind's."""
    return {
        "needs": list(plan.parts),
        "if": "${{ !cancelled() }}",
        "runs-on": _MACHINES["linux"],
        "timeout-minutes": 15,
        "steps": [
            _CHECKOUT,
            _python(plan.ci.python),
            _run(plan.install),
            {
                "uses": "actions/download-artifact@v4",
                "with": {"pattern": "matrix-*", "path": "results"},
            },
            *(
                _run(f"crossexec report --out=report/{runner} results/matrix-{runner}-*", always=True)
                for runner in plan.parts
            ),
            *_publish("report/*/summary.md", "report", "report"),
        ],
    }


def _machine(plan: Plan, runner: Runner) -> dict[str, Value]:
    machine: dict[str, Value] = {"runs-on": _MACHINES[runner]}
    if plan.in_image(runner):
        # Privileged, since it may run a Docker daemon.
        machine["container"] = {"image": plan.ci.image, "options": "--privileged"}
    return machine


def _begin(plan: Plan, runner: Runner) -> list[Value]:
    """The sources, and crossexec where the image's own command does not bring it."""
    if not plan.in_image(runner):
        return [_CHECKOUT, _python(plan.ci.python), _run(plan.install)]
    return [*([_run(plan.ci.prepare)] if plan.ci.prepare else []), _CHECKOUT]


def _cache(key: str, *, condition: str = "") -> list[Value]:
    """What an environment needs once on a machine; kept if the job succeeds."""
    step: dict[str, Value] = {"uses": "actions/cache@v4"}
    if condition:
        step["if"] = condition
    step["with"] = {"path": ".cache", "key": key}
    # The shell's variable: in a container the workspace has another path than the expression tells.
    return [step, _run('echo "CROSSEXEC_CACHE=$GITHUB_WORKSPACE/.cache" >>"$GITHUB_ENV"')]


def _publish(summary: str, artifact: str, folder: str) -> list[Value]:
    """Also what has failed is worth reading, and what was interrupted."""
    return [
        _run(f'cat {summary} >>"$GITHUB_STEP_SUMMARY"', always=True),
        {
            "uses": "actions/upload-artifact@v4",
            "if": "${{ always() }}",
            "with": {"name": artifact, "path": folder, "if-no-files-found": "error"},
        },
    ]


def _python(version: str) -> Value:
    return {"uses": "actions/setup-python@v5", "with": {"python-version": version}}


def _run(command: str, *, always: bool = False) -> Value:
    return {"if": "${{ always() }}", "run": command} if always else {"run": command}
