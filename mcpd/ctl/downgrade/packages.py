"""mcpd's Debian package: which version is installed, where an older one can be had, and putting it in."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mcpd.errors import SourceUnusable, Unreachable, UsageError

NAME = "mcpd"
_CACHE = Path("/var/cache/apt/archives")
_TIMEOUT_S = 600.0
_LOCALE = {"LC_ALL": "C.UTF-8"}
_INSTALL = ("--yes", "--allow-downgrades", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60",
            "-o", "Dpkg::Options::=--force-confold")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where the package *version* is: in the file *path*, or with apt, which has yet to fetch it."""

    version: str
    path: Path | None

    def __str__(self) -> str:
        return f"{NAME} {self.version} from {self.path or 'apt'}"


def installed() -> str:
    """Return the installed version; raises ``Unreachable`` where no package of mcpd's is."""
    done = _run("dpkg-query", "--show", "--showformat=${Version}", NAME)
    if done.returncode or not done.stdout:
        raise Unreachable("mcpd is not installed as a Debian package here, so no package of it can be put back")
    return done.stdout


def version_of(path: Path | None) -> str:
    """Return the version of the package *path*; raises ``SourceUnusable``."""
    if path is None or not path.is_file():
        raise SourceUnusable(f"{path}: there is no such file")
    done = _run("dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(path))
    if done.returncode:
        raise SourceUnusable(f"{path}: is not a Debian package")
    name, _, version = done.stdout.partition(" ")
    if name != NAME:
        raise SourceUnusable(f"{path}: is the package {name}; expected {NAME}")
    return version


def find(version: str, given: Path | None) -> Source:
    """Return where the package *version* is: the file *given*, what apt knows, or what it kept.

    Raises ``SourceUnusable`` for a file that is not that package, ``UsageError`` where it is to be had nowhere.
    """
    if given is not None:
        _check(given, version)
        return Source(version, given.absolute())
    if _run("apt-get", "--print-uris", "download", f"{NAME}={version}").returncode == 0:
        return Source(version, None)
    kept = _CACHE / f"{NAME}_{version.replace(':', '%3a')}_all.deb"
    if kept.exists():
        _check(kept, version)
        return Source(version, kept)
    file = f"{NAME}_{version.partition(':')[2] or version}_all.deb"
    raise UsageError(
        f"apt no longer has {NAME} {version}, nor is it in {_CACHE}; with --package {file} it can be given"
    )


def _check(path: Path, version: str) -> None:
    found = version_of(path)
    if found != version:
        raise SourceUnusable(f"{path}: is {NAME} {found}; the snapshot is of {version}")


def fetch(source: Source, directory: Path) -> Path:
    """Return the package's file, which apt downloads into *directory* if it has to; raises ``Unreachable``."""
    if source.path is not None:
        return source.path
    done = _run("apt-get", "--quiet", "download", f"{NAME}={source.version}", directory=directory)
    found = sorted(directory.glob("*.deb"))
    if done.returncode or not found:
        raise Unreachable(f"apt could not download {NAME} {source.version}: {_said(done)}")
    _check(found[0], source.version)
    return found[0]


def rehearse(path: Path) -> None:
    """Raise ``Unreachable`` if apt would not install the package *path*."""
    done = _run("apt-get", "--simulate", "install", *_INSTALL, str(path))
    if done.returncode:
        raise Unreachable(f"apt cannot install {path}: {_said(done)}")


def install(path: Path) -> None:
    """Install the package *path* without that its scripts start or stop anything; raises ``Unreachable``.

    apt goes on to its end whatever becomes of us: it has a session of its own, and no pipe to us that could break.
    """
    quiet = {"SYSTEMD_OFFLINE": "1", "DEBIAN_FRONTEND": "noninteractive", "MCPD_NO_SNAPSHOT": "1"}
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(  # noqa: S603 - no shell; the path is of a package that was looked at
            ["apt-get", "--quiet", "install", *_INSTALL, str(path)],  # noqa: S607 - where the system has it
            env=os.environ | _LOCALE | quiet,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        said.seek(0)
        if done.returncode:
            raise Unreachable(f"apt could not install {path}: {_complaint(said.read(), done.returncode)}")


def _run(*command: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell; the arguments are ours, a version of dpkg's, and paths
            command,
            cwd=directory,
            env=os.environ | _LOCALE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError as exc:
        raise Unreachable(f"there is no {command[0]}: mcpd did not come as a Debian package") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unreachable(f"{command[0]} took longer than {_TIMEOUT_S:.0f} s") from exc


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return _complaint(done.stderr, done.returncode)


def _complaint(text: str, status: int) -> str:
    errors = [line for line in text.splitlines() if line.startswith("E:")]
    return "; ".join(errors) or text.strip() or f"status {status}"
