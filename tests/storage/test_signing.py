"""Signatures by a secret or by an Ed25519 key: what each of them can make, and what each of them believes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.storage.signing import BACKUP, BUNDLE, find_key, require_key, sign_file, signature_problem

SECRET = "s" * 40
SHA256 = "a" * 64


def pems(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A secret, a key pair, another one, and a file."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    for name in ("mine", "other"):
        private, public = pems(ed25519.Ed25519PrivateKey.generate())
        (tmp_path / f"{name}.pem").write_bytes(private)
        (tmp_path / f"{name}.pub").write_bytes(public)
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(path))


def problem(folder: Path, purpose: str = BUNDLE, sha256: str = SHA256) -> str:
    return signature_problem(folder / "file", purpose, sha256, required=True)


@pytest.mark.parametrize(
    ("signer", "verifier"), [("secret", "secret"), ("mine.pem", "mine.pem"), ("mine.pem", "mine.pub")]
)
def test_a_signature_passes_for_its_file_and_its_purpose_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, signer: str, verifier: str
) -> None:
    use(monkeypatch, folder / signer)
    sign_file(folder / "file", BUNDLE, SHA256)
    use(monkeypatch, folder / verifier)
    assert problem(folder) == ""
    assert "was changed" in problem(folder, sha256="b" * 64)
    assert "was not made by the key" in problem(folder, purpose=BACKUP)


@pytest.mark.parametrize("verifier", ["secret", "other.pem", "other.pub"])
def test_a_signature_of_another_key_does_not_pass(folder: Path, monkeypatch: pytest.MonkeyPatch, verifier: str) -> None:
    use(monkeypatch, folder / "mine.pem")
    sign_file(folder / "file", BUNDLE, SHA256)
    use(monkeypatch, folder / verifier)
    assert "was not made by the key" in problem(folder)


def test_who_has_the_public_key_alone_cannot_sign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder / "mine.pub")
    assert not require_key().can_sign
    with pytest.raises(UsageError, match="cannot sign"):
        require_key(to_sign=True)
    with pytest.raises(UsageError, match="cannot sign"):
        sign_file(folder / "file", BUNDLE, SHA256)
    assert not (folder / "file.sig").exists()


def test_a_public_key_is_not_taken_for_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody has it: signed with it as if it were a secret, a file must not pass."""
    import hashlib
    import hmac

    public = (folder / "mine.pub").read_bytes()
    for secret in (public, public.strip()):
        forged = hmac.new(secret, b"bundle\0" + SHA256.encode(), hashlib.sha256).hexdigest()
        for kind in ("hmac-sha256", "ed25519"):
            (folder / "file.sig").write_text(f"{kind}:{forged}\n")
            use(monkeypatch, folder / "mine.pub")
            assert "was not made by the key" in problem(folder)


@pytest.mark.parametrize("signature", ["", "ed25519:", "ed25519:zz", "ed25519:" + "00" * 64, "none:", "ed25519"])
def test_what_is_no_signature_does_not_pass(folder: Path, monkeypatch: pytest.MonkeyPatch, signature: str) -> None:
    (folder / "file.sig").write_text(signature)
    for key in ("mine.pub", "secret"):
        use(monkeypatch, folder / key)
        assert "was not made by the key" in problem(folder)


def test_keys_that_cannot_be_used_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder / "key")
    private, public = pems(ec.generate_private_key(ec.SECP256R1()))
    for data in (private, public):
        (folder / "key").write_bytes(data)
        with pytest.raises(UsageError, match="not an Ed25519 key"):
            find_key()
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    for data in (locked, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", b"-----BEGIN"):
        (folder / "key").write_bytes(data)
        with pytest.raises(UsageError, match="not one that can be read"):
            find_key()


def test_a_key_of_openssl_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "key"], check=True)
    subprocess.run(["openssl", "pkey", "-in", folder / "key", "-pubout", "-out", folder / "key.pub"], check=True)
    use(monkeypatch, folder / "key")
    sign_file(folder / "file", BUNDLE, SHA256)
    use(monkeypatch, folder / "key.pub")
    assert problem(folder) == ""


def test_without_the_package_a_key_in_pem_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder / "mine.pub")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingDependencyError) as missing:
        find_key()
    assert "vecrollback[signing]" in missing.value.hint
