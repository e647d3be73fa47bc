"""The vault: what is sealed for one account and purpose opens there and nowhere else."""

import base64
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from services.registry.adapters.vault import AesGcmVault, load_master_keys
from services.registry.domain.session import Session
from services.registry.handlers.material import seal_session, unseal_session
from services.registry.ports import SecretUnreadableError
from services.runtime.errors import SettingsError

SECRET = b"canary" * 40


def key() -> bytes:
    return secrets.token_bytes(32)


def test_a_sealed_secret_opens_and_does_not_show() -> None:
    vault = AesGcmVault({"k1": key()})
    sealed = vault.seal(SECRET, "acc_a", "session")
    assert vault.unseal(sealed, "acc_a", "session") == SECRET
    assert b"canary" not in sealed.ciphertext
    assert sealed.nonce != vault.seal(SECRET, "acc_a", "session").nonce


@pytest.mark.parametrize(
    ("account_id", "purpose"), [("acc_b", "session"), ("acc_a", "proxy"), ("acc_", "asession")]
)
def test_a_ciphertext_moved_elsewhere_does_not_open(account_id: str, purpose: str) -> None:
    vault = AesGcmVault({"k1": key()})
    sealed = vault.seal(SECRET, "acc_a", "session")
    with pytest.raises(SecretUnreadableError):
        vault.unseal(sealed, account_id, purpose)


def test_any_changed_bit_is_noticed() -> None:
    vault = AesGcmVault({"k1": key(), "k2": key()})
    sealed = vault.seal(SECRET, "acc_a", "session")
    flipped = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    for changed in (
        replace(sealed, ciphertext=flipped),
        replace(sealed, ciphertext=sealed.ciphertext[:-1]),
        replace(sealed, ciphertext=b""),
        replace(sealed, nonce=secrets.token_bytes(12)),
        replace(sealed, nonce=b""),
        replace(sealed, key_id="k2"),
        replace(sealed, key_id="unknown"),
    ):
        with pytest.raises(SecretUnreadableError):
            vault.unseal(changed, "acc_a", "session")


def test_the_first_key_seals_and_all_open() -> None:
    old, new = key(), key()
    sealed = AesGcmVault({"old": old}).seal(SECRET, "acc_a", "session")
    rotated = AesGcmVault({"new": new, "old": old})
    assert rotated.unseal(sealed, "acc_a", "session") == SECRET
    assert rotated.seal(SECRET, "acc_a", "session").key_id == "new"
    with pytest.raises(SecretUnreadableError, match="old"):
        AesGcmVault({"new": new}).unseal(sealed, "acc_a", "session")


def test_a_session_comes_back_as_it_was() -> None:
    vault = AesGcmVault({"k1": key()})
    session = Session("telethon", 4, secrets.token_bytes(256), test_mode=True, user_id=2**40)
    opened = unseal_session(vault, seal_session(vault, session, "acc_a"), "acc_a")
    assert opened == replace(session, kind="vault")
    with pytest.raises(SecretUnreadableError):
        unseal_session(vault, vault.seal(b"\x02newer", "acc_a", "session"), "acc_a")


def test_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = key(), key()
    lines = ["# the first one is active", f"k2:{base64.b64encode(second).decode()}", ""]
    path.write_text("\n".join([*lines, f"k1:{base64.b64encode(first).decode()}"]))
    keys = load_master_keys(path)
    assert list(keys.items()) == [("k2", second), ("k1", first)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "canarycanary",
        "k1:canary",
        "k1:" + base64.b64encode(b"canary-too-short").decode(),
        "bad id:" + base64.b64encode(bytes(32)).decode(),
        "k1:" + base64.b64encode(bytes(32)).decode() + "\nk1:" + base64.b64encode(bytes(32)).decode(),
        "k1:ü",
    ],
)
def test_a_bad_key_file_stops_the_start_without_showing_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_master_keys(path)
    assert "canary" not in str(caught.value)
    assert "TGFLEET_MASTER_KEY_FILE" in str(caught.value)


def test_a_missing_key_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TGFLEET_MASTER_KEY_FILE"):
        load_master_keys(tmp_path / "nothing")
