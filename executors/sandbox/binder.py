"""Binds the entries of one intent to the files that there are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.sandbox import (
    Entry,
    GlobPlace,
    PathPlace,
    Restricted,
    SandboxIntent,
    Special,
)
from executors.sandbox import repository
from executors.sandbox.patterns import escape, is_magic
from executors.sandbox.places import Places
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from executors.sandbox.real_path import RealPath
from executors.sandbox.real_paths import Resolver
from executors.sandbox.spelling import Spelling, refusal, shown

MOST_WORK: Final = 300_000
"""How much an intent may take to bind, so that it keeps nobody waiting for long: for each place, symbolic
entries written out, as many as its path has names, and a few more."""
_PLACE: Final = 10
_ACCESS: Final = {"read": Access.READ, "write": Access.WRITE, "deny": Access.NONE, "none": Access.NONE}


@dataclass(frozen=True, slots=True)
class _Bound:
    """An entry at a place that it means.

    :ivar said: how the caller has put it.
    :ivar is_symbolic: whether that is no path of its own.
    :ivar real: where it is.
    :ivar inner_link: of a place below a project root, a link on the way that lies in the root.
    """

    access: Access
    said: str
    is_symbolic: bool
    real: RealPath
    inner_link: str | None = None


class Binder:
    """:raises RpcError: INVALID_PARAMS: ``cwd`` or a workspace root is no path of this machine."""

    def __init__(self, intent: SandboxIntent, places: Places) -> None:
        self._places = places
        self._spelling = Spelling(places.platform)
        self._resolver = Resolver()
        self._bound: dict[PurePath, _Bound] = {}
        self._said: dict[tuple[PurePath, str], _Bound] = {}
        self._named: set[PurePath] = set()
        self._unsure: list[_Bound] = []
        self._patterns: list[str] = []
        self._work = 0
        self._cwd = None if intent.cwd is None else self._spelling.native(intent.cwd)
        self._roots = [self._spelling.native(root) for root in dict.fromkeys(intent.workspace_roots or ())]

    def policy(self, file_system: Restricted, *, network: bool) -> Policy:
        """Returns what *file_system* means.

        :raises RpcError: INVALID_PARAMS: as :func:`executors.sandbox.intent.bind`.
        """
        for entry in dict.fromkeys(file_system.entries):
            self._add(entry)
        self._check_unsure()

        def make(rules: Mapping[PurePath, Access]) -> Policy:
            return make_policy(
                (Rule(path, access) for path, access in rules.items()),
                denied_patterns=self._patterns,
                pattern_depth=file_system.glob_scan_max_depth,
                network=network,
                roots=self._places.roots,
            )

        rules = {path: bound.access for path, bound in self._bound.items()}
        policy = make(rules)
        repositories = self._repositories(policy)
        return make(rules | repositories) if repositories else policy

    # Entries.

    def _add(self, entry: Entry) -> None:
        access = _ACCESS[entry.access]
        place = entry.path
        skips = entry.missing_path_behavior == "skip"
        if isinstance(place, GlobPlace):
            if access != Access.NONE:
                raise refusal(
                    f"pattern {shown(place.pattern)} has access `{entry.access}`, and a pattern can only "
                    "deny: name the paths to allow"
                )
            self._add_pattern(place.pattern)
        elif isinstance(place, PathPlace):
            self._bind(self._spelling.native(place.path), access, place.path, is_symbolic=False, skips=skips)
        else:
            special = place.value
            paths = self._special(special)
            own = special.kind in ("minimal", "tmpdir", "slash_tmp")
            said = special.kind if special.subpath is None else f"{special.kind}/{special.subpath}"
            for path in paths:
                try:
                    self._bind(str(path), access, said, is_symbolic=True, skips=skips or own)
                except _Unresolvable:
                    if not own:
                        raise

    def _bind(self, path: str, access: Access, said: str, *, is_symbolic: bool, skips: bool) -> None:
        real = self._resolve(path, said)
        if skips and not real.exists:
            return
        if access == Access.WRITE and not real.exists:
            why = "is not there"
            if real.blocked is not None:
                why = f"is in {shown(real.blocked)}, which the executor may not look into"
            raise refusal(
                f"{shown(said)} may be written and {why} ({shown(real.path)}): make it, or leave it out"
            )
        if said == "minimal":
            # These links are the system's, whatever else may be written.
            real = replace(real, links=())
        below = said.startswith("project_roots/") and path not in self._roots
        new = _Bound(access, said, is_symbolic, real, self._link_in_roots(real) if below else None)
        if real.links or real.blocked is not None:
            self._unsure.append(new)
        key = Path(real.path)
        same = self._said.setdefault((key, said if is_symbolic else ""), new)
        if same.access != access:
            raise refusal(
                f"{shown(same.said)} is given access `{_name(same)}` and {shown(said)} `{_name(new)}`, and "
                f"both are {shown(real.path)}: say one"
            )
        self._bound[key] = max(self._bound.get(key, new), new, key=_rank)
        if os.path.basename(path) == repository.NAME:
            self._named.add(Path(self._resolve(os.path.dirname(path), said).path, repository.NAME))

    def _link_in_roots(self, real: RealPath) -> str | None:
        if not real.links:
            return None
        roots = [Path(self._resolver.resolve(root).path) for root in self._roots]
        inner = (link for link in real.links if any(Path(link).is_relative_to(root) for root in roots))
        return next(inner, None)

    def _special(self, special: Special) -> Sequence[Path] | list[str]:
        if special.subpath is not None and special.kind != "project_roots":
            raise refusal(f"`{special.kind}` takes no subpath: name the path itself")
        match special.kind:
            case "root":
                return self._places.roots
            case "minimal":
                return self._places.minimal
            case "tmpdir":
                return [self._places.temporary]
            case "slash_tmp":
                return self._places.slash_tmp
            case "current_working_directory":
                if self._cwd is None:
                    raise refusal("an entry is about current_working_directory, and `cwd` is missing")
                return [self._cwd]
            case "project_roots":
                self._need_roots("an entry is about project_roots")
                below = "" if special.subpath is None else self._spelling.subpath(special.subpath)
                return [os.path.join(root, below) if below else root for root in self._roots]
            case "unknown":
                raise refusal(
                    f"an entry is about {shown(special.path or 'a place')}, which this executor does not "
                    "know: leave it out, or name paths"
                )

    def _need_roots(self, why: str) -> None:
        if not self._roots:
            raise refusal(f"{why}, and `workspaceRoots` is missing or empty")

    def _add_pattern(self, text: str) -> None:
        names = self._spelling.pattern(text)
        if self._spelling.is_rooted(names):
            fixed = next((at for at, name in enumerate(names) if is_magic(name)), len(names))
            start = "/".join(names[:fixed]) + ("/" if fixed == 1 else "")
            self._patterns.append(self._pattern(start, names[fixed:], text))
        else:
            self._need_roots(f"pattern {shown(text)} is relative")
            for root in self._roots:
                self._patterns.append(self._pattern(root, names, text))

    def _pattern(self, start: str, names: Sequence[str], said: str) -> str:
        """The pattern of *names* below the directory *start*."""
        real = self._resolve(start, said)
        if real.links:
            self._unsure.append(_Bound(Access.NONE, said, is_symbolic=True, real=real))
        self._count(len(names))
        fixed = [escape(name) for name in PurePath(real.path).as_posix().rstrip("/").split("/")]
        return "/".join([*fixed, *names])

    # Paths.

    def _resolve(self, path: str, said: str) -> RealPath:
        self._count(path.count("/") + path.count("\\") + 1)
        try:
            real = self._resolver.resolve(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise _Unresolvable(
                ErrorCode.INVALID_PARAMS,
                f"field `sandbox`: {shown(said)} cannot be resolved ({shown(path)}): {reason}",
            ) from None
        if any(link.startswith("/proc/") for link in real.links):
            raise _Unresolvable(
                ErrorCode.INVALID_PARAMS,
                f"field `sandbox`: {shown(said)} means another place for each process: say which",
            )
        return real

    def _count(self, names: int) -> None:
        self._work += _PLACE + names
        if self._work > MOST_WORK:
            raise refusal("its entries are about too many places, or too deep ones: name outer directories")

    # What depends on all entries.

    def _check_unsure(self) -> None:
        """Refuses what would change something by way of what the program could replace, or open."""
        if not self._unsure:
            return
        everything = make_policy(Rule(path, bound.access) for path, bound in self._bound.items())

        def loose(bound: _Bound) -> str | None:
            links = (link for link in bound.real.links if everything.access(Path(link)) == Access.WRITE)
            return bound.inner_link or next(links, None)

        firm = make_policy(
            Rule(path, bound.access) for path, bound in self._bound.items() if loose(bound) is None
        )
        for bound in self._unsure:
            link = loose(bound)
            if link is not None and firm.access(Path(bound.real.path)) != bound.access:
                raise _loose_link(bound.said, link, bound.real.path)
            blocked = bound.real.blocked
            if blocked is not None and everything.access(Path(blocked)) == Access.WRITE:
                raise refusal(
                    f"{shown(bound.said)} is in {shown(blocked)}, which may be written, but which the "
                    "executor may not look into: let it, or leave the entry out"
                )

    def _repositories(self, policy: Policy) -> dict[PurePath, Access]:
        """Returns rules that make ``.git`` in each place that may be written one that may only be read."""
        rules: dict[PurePath, Access] = {}

        def protect(real: RealPath) -> None:
            path = Path(real.path)
            # Never more than entries give: the content of a pointer file is anybody's.
            if policy.access(path) != Access.WRITE or path in self._bound:
                return
            for link in real.links:
                if policy.access(Path(link)) == Access.WRITE:
                    raise _loose_link(repository.NAME, link, real.path)
            rules[path] = Access.READ

        for root in [path for path, bound in self._bound.items() if bound.access == Access.WRITE]:
            git = os.path.join(root, repository.NAME)
            kind = repository.kind(git)
            if kind == repository.Kind.ABSENT:
                continue
            real = self._resolve(git, repository.NAME)
            if Path(git) in self._named and policy.access(Path(real.path)) == Access.WRITE:
                continue
            if kind == repository.Kind.LINK:
                raise _loose_link(repository.NAME, git, real.path)
            protect(real)
            try:
                for governing in repository.governing(real.path, self._resolver):
                    protect(governing)
            except (OSError, ValueError) as error:
                raise refusal(f"where {shown(git)} points to cannot be resolved: {error}") from None
        return rules


def _rank(bound: _Bound) -> tuple[bool, bool, Access, bool]:
    """What decides between entries that are about the same place; the greatest."""
    return bound.access == Access.NONE, not bound.is_symbolic, bound.access, not bound.real.links


def _name(bound: _Bound) -> str:
    return bound.access.name.lower()


def _loose_link(said: str, link: str, real: str) -> RpcError:
    return refusal(
        f"{shown(said)} leads through the link {shown(link)} to {shown(real)}, and programs may write where "
        "that link is and replace it: name what it leads to, or put no link there"
    )


class _Unresolvable(RpcError):
    """A place that nobody can reach by its path, or each process another one."""
