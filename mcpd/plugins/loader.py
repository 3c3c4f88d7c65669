"""Find plug-ins, import them, keep the sound ones: entry points of installed packages, then files of a directory.

One that is broken is left out whole, with the reason; whatever it does while it is imported short of ending the process
is its own fault alone.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType

import msgspec

from mcpd.plugins import directory
from mcpd.plugins.base import Broken, Loaded, Plugin, State
from mcpd.plugins.checks import checked
from mcpd.plugins.directory import PluginFile
from mcpd.plugins.served import Served

GROUP = "mcpd.tools"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_ERROR = 500


class Loading(msgspec.Struct, frozen=True):
    """All sound plug-ins as one, what became of each, and by name the exceptions for which some were left out."""

    plugin: Plugin
    loaded: tuple[Loaded, ...]
    faults: dict[str, BaseException]


class _Candidate(msgspec.Struct, frozen=True):
    """A plug-in that was found: ``bring`` imports it, and returns its object and version."""

    name: str
    source: str
    version: str | None
    bring: Callable[[], tuple[object, str | None]]


def load(path: Path, disabled: Collection[str]) -> Loading:
    """Return what the installed packages and the files in *path* bring, without those whose name is *disabled*."""
    served = Served()
    plugins: list[Plugin] = []
    report: list[Loaded] = []
    faults: dict[str, BaseException] = {}
    names: set[str] = set()
    for candidate in _candidates(path):
        if candidate.name in disabled:
            report.append(_report(candidate, "disabled"))
            continue
        try:
            if candidate.name in names:
                raise Broken("there is another plug-in of that name")
            plugin, version = _load(candidate, served)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001 - SystemExit too: a broken plug-in must not take the daemon along
            report.append(_report(candidate, "broken", error=_reason(exc)))
            faults[candidate.name] = exc
            continue
        names.add(candidate.name)
        plugins.append(plugin)
        report.append(_brings(_report(candidate, "loaded", version), plugin))
    return Loading(_merged(plugins), tuple(report), faults)


def _load(candidate: _Candidate, served: Served) -> tuple[Plugin, str | None]:
    if not _NAME.fullmatch(candidate.name):
        raise Broken("its name: expected 1 to 64 of A-Z a-z 0-9 _ . -")
    brought, version = candidate.bring()
    plugin = checked(brought)
    served.take(candidate.name, plugin)
    return plugin, version


def _candidates(path: Path) -> Iterator[_Candidate]:
    yield from sorted(_installed(), key=lambda candidate: candidate.name)
    try:
        for file in directory.files(path):
            yield _Candidate(file.path.stem, str(file.path), None, partial(_of_file, file))
    except (Broken, OSError) as exc:
        yield _Candidate(path.name, str(path), None, partial(_raise, exc))


def _raise(exc: Exception) -> tuple[object, None]:
    raise exc


def _installed() -> Iterator[_Candidate]:
    seen: set[tuple[str, str]] = set()
    for distribution in metadata.distributions():
        try:
            found = _of_distribution(distribution)
        except Exception:  # noqa: BLE001, S112 - another package's broken metadata are none of our business
            continue
        for candidate in found:
            # The first of a name is the one that is imported; others stand behind it in sys.path.
            if (candidate.source, candidate.name) not in seen:
                seen.add((candidate.source, candidate.name))
                yield candidate


def _of_distribution(distribution: metadata.Distribution) -> list[_Candidate]:
    return [
        _Candidate(entry.name, distribution.name, distribution.version, partial(_of_entry, entry))
        for entry in distribution.entry_points.select(group=GROUP)
    ]


def _of_file(file: PluginFile) -> tuple[object, str | None]:
    return _of_module(file.load())


def _of_entry(entry: metadata.EntryPoint) -> tuple[object, str | None]:
    if not entry.pattern.match(entry.value):
        raise Broken(f"its entry point is {entry.value!r}; expected module or module:object")
    found = entry.load()
    return _of_module(found) if isinstance(found, ModuleType) else (_made(found), None)


def _of_module(module: ModuleType) -> tuple[object, str | None]:
    found = getattr(module, "PLUGIN", getattr(module, "plugin", None))
    if found is None:
        raise Broken("it has neither a variable PLUGIN nor a function plugin()")
    version = getattr(module, "__version__", None)
    return _made(found), version if isinstance(version, str) else None


def _made(found: object) -> object:
    return found() if callable(found) and not isinstance(found, Plugin) else found


def _merged(plugins: list[Plugin]) -> Plugin:
    return Plugin(
        tools=[tool for plugin in plugins for tool in plugin.tools],
        prompts=[prompt for plugin in plugins for prompt in plugin.prompts],
        resources=[resource for plugin in plugins for resource in plugin.resources],
        templates=[template for plugin in plugins for template in plugin.templates],
    )


def _report(candidate: _Candidate, state: State, version: str | None = None, error: str | None = None) -> Loaded:
    version = version or candidate.version
    return Loaded(name=candidate.name, source=candidate.source, version=version, state=state, error=error)


def _brings(report: Loaded, plugin: Plugin) -> Loaded:
    return msgspec.structs.replace(
        report,
        tools=tuple(tool.name for tool in plugin.tools),
        prompts=tuple(prompt.name for prompt in plugin.prompts),
        resources=tuple(resource.uri for resource in plugin.resources),
        templates=tuple(template.uri_template for template in plugin.templates),
    )


def _reason(exc: BaseException) -> str:
    """Say in one line why a plug-in is broken: what our checks say, or what it raised, and where."""
    if isinstance(exc, Broken):
        reason = str(exc)
    elif isinstance(exc, SyntaxError):
        reason = f"SyntaxError: {exc}"  # which says where
    else:
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        reason = f"{type(exc).__name__}: {exc} ({Path(frame.filename).name}:{frame.lineno})"
    return " ".join(reason.split())[:_MAX_ERROR]
