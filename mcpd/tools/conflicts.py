"""Which claims get in each other's way: pure, over the claims that stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from mcpd.store.claims import Claim
from mcpd.times import stated
from mcpd.tools import paths

MAX_CONFLICTS = 100


class Holder(msgspec.Struct, frozen=True):
    """Who holds a target, how, what the agent said, and since when, where that is known."""

    agent: str
    mode: Literal["own", "edit"]
    target: str
    reason: str
    since: str | UnsetType = UNSET


class Conflict(msgspec.Struct, frozen=True):
    """One component or path that more than one agent has its hands on, or that another holds while one plans it."""

    kind: Literal["component", "path"]
    target: str
    holders: list[Holder]


def between(claims: Iterable[Claim], agents: set[str]) -> list[Conflict]:
    """Return the conflicts among *agents*, ``MAX_CONFLICTS`` at most: claims of different agents that meet."""
    mine = [claim for claim in _with_component_paths(list(claims)) if claim.agent in agents]
    found: dict[tuple[str, ...], Conflict] = {}
    for first, second in _neighbours(mine):
        if _collide(first, second):
            key = (first.kind, *sorted((f"{first.agent} {first.target}", f"{second.agent} {second.target}")))
            target = min(first.target, second.target, key=len)
            found.setdefault(key, Conflict(first.kind, target, [_holder(first), _holder(second)]))
            if len(found) == MAX_CONFLICTS:
                break
    return list(found.values())


def _neighbours(claims: list[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Yield the pairs of *claims* that can meet at all, the older one first.

    Plain paths and components are looked up by name and ancestor; only patterns are compared with everything.
    """
    plain: defaultdict[tuple[str, str], list[Claim]] = defaultdict(list)
    beneath: defaultdict[tuple[str, str], list[Claim]] = defaultdict(list)
    patterns: list[Claim] = []
    paths_so_far: list[Claim] = []
    for claim in claims:
        if claim.kind == "path":
            pattern = paths.is_pattern(claim.target)
            for other in paths_so_far if pattern else patterns:
                yield other, claim
            paths_so_far.append(claim)
            if pattern:
                patterns.append(claim)
                continue
        above = list(paths.ancestors(claim.target)) if claim.kind == "path" else [claim.target]
        for other in [*(o for name in above for o in plain[claim.kind, name]), *beneath[claim.kind, claim.target]]:
            yield other, claim
        plain[claim.kind, claim.target].append(claim)
        for name in above[1:]:
            beneath[claim.kind, name].append(claim)


def with_plan(claims: Iterable[Claim], agent: str, component: str | None, planned: Iterable[str]) -> list[Conflict]:
    """Return who else holds *component* or any of the *planned* paths that *agent* is about to touch.

    ``MAX_CONFLICTS`` at most.
    """
    every = list(claims)
    wanted = set(planned)
    if component is not None:
        wanted.update(claim.target for claim in every if claim.component == component)
    found: dict[tuple[str, str, str], Conflict] = {}
    for claim in _with_component_paths(every):
        if claim.agent == agent:
            continue
        targets = [component] if claim.kind == "component" and component is not None else sorted(wanted)
        for target in targets:
            if (claim.kind == "path" or target == component) and _meets(claim, target):
                key = (claim.kind, claim.agent, claim.target)
                found.setdefault(key, Conflict(claim.kind, target, [_holder(claim)]))
    return list(found.values())[:MAX_CONFLICTS]


def _with_component_paths(claims: list[Claim]) -> Iterator[Claim]:
    """Yield *claims*, and for each agent that edits a component also its paths, whoever owns them."""
    for claim in claims:
        yield claim
        if claim.mode == "edit" and claim.kind == "component":
            for part in claims:
                if part.mode == "own" and part.kind == "path" and part.component == claim.target:
                    yield Claim(claim.agent, "edit", "path", part.target, claim.reason, claim.target, claim.since_us)


def _collide(first: Claim, second: Claim) -> bool:
    if first.agent == second.agent or first.kind != second.kind:
        return False
    # Who edits another's component is reported with the component; not once more for each of its paths.
    if first.mode != second.mode and first.component is not None and first.component == second.component:
        return False
    return _meets(first, second.target)


def _meets(claim: Claim, target: str) -> bool:
    return claim.target == target if claim.kind == "component" else paths.overlap(claim.target, target)


def _holder(claim: Claim) -> Holder:
    return Holder(claim.agent, claim.mode, claim.target, claim.reason, stated(claim.since_us) or UNSET)
