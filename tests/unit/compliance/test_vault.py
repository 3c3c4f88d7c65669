"""Encryption: what went in comes out, with the right key and unchanged alone; and the key's file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd import files
from mcpd.compliance.classes import CLASSES
from mcpd.compliance.vault import Undecipherable, Vault
from mcpd.errors import ConfigError, Error


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return Vault(tmp_path_factory.mktemp("vault") / "compliance.key")


@given(st.text(), st.sampled_from(CLASSES))
def test_what_is_encrypted_is_decrypted(vault: Vault, text: str, classification: str) -> None:
    sealed = vault.encrypt(text, classification)
    assert sealed.isascii()
    assert vault.decrypt(sealed) == (text, classification)


@given(st.text(min_size=8), st.data())
def test_what_was_changed_is_refused(vault: Vault, text: str, data: st.DataObject) -> None:
    sealed = vault.encrypt(text, "phi")
    place = data.draw(st.integers(0, len(sealed) - 1))
    character = data.draw(st.sampled_from("abcXYZ019-_.="))
    changed = sealed[:place] + character + sealed[place + 1 :]
    if changed != sealed:
        with pytest.raises(Undecipherable):
            vault.decrypt(changed)


def test_not_even_bits_that_say_nothing_may_change(vault: Vault) -> None:
    sealed = next(sealed for n in range(3) if (sealed := vault.encrypt("x" * n, "phi")).endswith("=="))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(sealed[-3])
    for bits in range(1, 16):
        with pytest.raises(Undecipherable, match="was changed"):
            vault.decrypt(f"{sealed[:-3]}{letters[last ^ bits]}==")


@given(st.text())
def test_any_text_is_refused_in_words(vault: Vault, text: str) -> None:
    for given_text in (text, f"mcpd1.{vault.key_id}.phi.{text}"):
        with pytest.raises(Undecipherable):
            vault.decrypt(given_text)


@given(st.text(), st.text(), st.text(), st.text())
def test_pseudonyms_are_the_same_for_the_same_only(vault: Vault, one: str, salt: str, other: str, pepper: str) -> None:
    assert vault.pseudonym(one, salt) == vault.pseudonym(one, salt)
    if (one, salt) != (other, pepper):
        assert vault.pseudonym(one, salt) != vault.pseudonym(other, pepper)


def test_another_key_is_named(vault: Vault, tmp_path: Path) -> None:
    other = Vault(tmp_path / "key")
    with pytest.raises(Undecipherable, match=f"with key {vault.key_id}; the key in .*key is {other.key_id}"):
        other.decrypt(vault.encrypt("x", "pii"))
    assert other.pseudonym("x") != vault.pseudonym("x")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path, found = tmp_path / "key", []
    threads = [threading.Thread(target=lambda: found.append(files.secret(path, 32))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {path.read_bytes()}
    assert (stat.S_IMODE(path.stat().st_mode), len(found[0]), len(list(tmp_path.iterdir()))) == (0o600, 32, 1)


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="No such file"):
        _ = Vault(tmp_path / "none", make=False).key_id
    with pytest.raises(Error, match="cannot be read"):
        _ = Vault(tmp_path / "no" / "where").key_id
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(ConfigError, match="has 5 bytes; expected 32"):
        _ = Vault(tmp_path / "short").key_id


def test_the_key_of_systemd_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mcpd.compliance-key").write_bytes(os.urandom(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    vault = Vault(tmp_path / "other")
    assert vault.path == tmp_path / "mcpd.compliance-key"
    assert vault.decrypt(vault.encrypt("x", "pii")) == ("x", "pii")
    assert not (tmp_path / "other").exists()
