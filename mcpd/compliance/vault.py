"""Encryption with a key of this machine: AES-256-GCM, texts that say how they were made, and lasting pseudonyms.

``mcpd1.KEY.CLASS.DATA``: the version, which key (its id says nothing of it), the class of the data, and in URL-safe
Base64 nonce, ciphertext and tag. Version, key and class are authenticated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from pathlib import Path

from mcpd import files
from mcpd.errors import ConfigError, Error, InvalidParams

ALGORITHM = "AES-256-GCM"
KEY_BYTES = 32
KEY_FILE = "compliance.key"
"""The key's file, beside the database."""

_VERSION = "mcpd1"
_NONCE_BYTES = 12
_CREDENTIAL = "mcpd.compliance-key"


class Undecipherable(InvalidParams):
    """The text was not encrypted here, not with this key, or was changed."""

    exit_status = 65


class Vault:
    """Encrypt and decrypt with the key of systemd's credentials or else of the file *path*, made when first needed."""

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self._path = path
        self._make = make
        self._loaded: bytes | None = None

    @property
    def path(self) -> Path:
        """The file that the key is in: systemd's credential where there is one."""
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        credential = Path(directory) / _CREDENTIAL if directory else None
        return credential if credential is not None and credential.exists() else self._path

    @property
    def key_id(self) -> str:
        """What tells this key from others, without telling it."""
        return hmac.digest(self._key(), b"id", "sha256")[:6].hex()

    def encrypt(self, text: str, classification: str) -> str:
        """Return *text*, of *classification*, encrypted."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head = f"{_VERSION}.{self.key_id}.{classification}"
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, text.encode("utf-8", "surrogatepass"), head.encode())
        return f"{head}.{base64.urlsafe_b64encode(sealed).decode('ascii')}"

    def decrypt(self, encrypted: str) -> tuple[str, str]:
        """Return the text in *encrypted* and its classification; raises ``Undecipherable``."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        parts = encrypted.strip().split(".")
        if len(parts) != 4 or parts[0] != _VERSION:
            raise Undecipherable(f"this is no text that mcpd encrypted; expected {_VERSION}.KEY.CLASS.DATA")
        version, key_id, classification, data = parts
        if key_id != self.key_id:
            raise Undecipherable(f"this was encrypted with key {key_id}; the key in {self.path} is {self.key_id}")
        try:
            sealed = base64.b64decode(data.encode(), altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(sealed).decode("ascii") != data:
                raise ValueError("bits behind the last byte")
            head = f"{version}.{key_id}.{classification}".encode()
            opened = AESGCM(self._key()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], head)
        except (binascii.Error, InvalidTag, ValueError) as exc:
            raise Undecipherable("this text was changed after it was encrypted, or is not whole") from exc
        return opened.decode("utf-8", "surrogatepass"), classification

    def pseudonym(self, text: str, salt: str = "") -> str:
        """Return what stands for *text*, always the same; with another *salt*, or another key, it is another."""
        key = hmac.digest(self._key(), b"pseudonyms", "sha256")
        parts = (part.encode("utf-8", "surrogatepass") for part in (salt, text))
        message = b"".join(len(part).to_bytes(8) + part for part in parts)
        return f"pn_{hmac.digest(key, message, 'sha256')[:16].hex()}"

    def _key(self) -> bytes:
        if self._loaded is None:
            try:
                self._loaded = files.secret(self.path, KEY_BYTES) if self._make else self.path.read_bytes()
            except OSError as exc:
                raise Error(f"the key {self.path} cannot be read: {exc.strerror}", http_status=503) from exc
            if len(self._loaded) != KEY_BYTES:
                found, self._loaded = len(self._loaded), None
                raise ConfigError(f"the key {self.path} has {found} bytes; expected {KEY_BYTES}")
        return self._loaded
