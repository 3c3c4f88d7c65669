"""Encryption of archives by age(1): to a recipient's public key, so that nothing here can read them again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mcpd import files
from mcpd.errors import ConfigError, SourceUnusable, StoreUnavailable, denied

SUFFIX = ".age"
_HEADER = b"age-encryption.org/v1\n"
_TIMEOUT_S = 3600.0
_MISSING = "age is not installed: apt install age"


def check(recipient: str) -> None:
    """Raise ``ConfigError`` unless age is there and takes *recipient*."""
    done = _age("--encrypt", "--recipient", recipient, "--output", "/dev/null")
    if done.returncode:
        raise ConfigError(f"key 'backup.recipient': expected an age recipient, got {recipient!r}: {_reason(done)}")


def encrypt(path: Path, to: Path, recipient: str) -> None:
    """Write *path* encrypted to the new file *to*; raises ``StoreUnavailable``."""
    done = _age("--encrypt", "--recipient", recipient, "--output", str(to), str(path))
    if done.returncode or not is_encrypted(to) or to.stat().st_size <= path.stat().st_size:
        raise StoreUnavailable(f"{to}: could not be encrypted: {_reason(done)}")


def decrypt(path: Path, to: Path, identity: Path | None) -> None:
    """Write *path* decrypted by the key in the file *identity* to the new file *to*; raises ``SourceUnusable``."""
    if identity is None:
        raise SourceUnusable(f"{path}: is encrypted; --identity FILE says where the key is")
    files.check_access(identity)
    done = _age("--decrypt", "--identity", str(identity), "--output", str(to), str(path))
    if done.returncode:
        raise SourceUnusable(f"{path}: cannot be decrypted with {identity}: {_reason(done)}")


def is_encrypted(path: Path) -> bool:
    """Say whether *path* begins as what age wrote."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError:
        return False


def _age(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell; the arguments are a recipient and paths
            ["age", *arguments],  # noqa: S607 - where the administrator has it
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise ConfigError(_MISSING) from exc
    except subprocess.TimeoutExpired as exc:
        raise StoreUnavailable(f"age took longer than {_TIMEOUT_S:g} s") from exc


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.removeprefix("age: ").removeprefix("error: ") for line in done.stderr.splitlines()]
    return lines[0] if lines else f"age ended with status {done.returncode}"
