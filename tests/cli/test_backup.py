"""`backup`: the whole store as one file, restored elsewhere with one command."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.cli.support import V2, cli_json, keys_promised, refusal, text
from vecrollback import Document, connect


def test_a_store_is_backed_up_verified_and_restored_elsewhere(store: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "all.backup", tmp_path / "elsewhere"
    written = cli_json("backup", "create", file)
    assert set(written) == keys_promised("backup", "create")
    assert written["contents"]["live"] == "v2@1"
    verified = cli_json("backup", "verify", file)
    assert set(verified) == keys_promised("backup", "verify")
    assert verified == written["contents"]
    assert text("backup", "verify", file).startswith("sound: ")
    restored = cli_json("backup", "restore", file, "--store", new)
    assert set(restored) == keys_promised("backup", "restore")
    assert cli_json("check", "--store", new)["verdict"] == "pass"
    assert cli_json("history", "--store", new) == cli_json("history")
    cli_json("reembed", "hash:32?seed=7", "--name", "v3", "--promote", "--store", new)


def test_what_was_deleted_since_is_deleted_in_the_restored_store(store: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "all.backup", tmp_path / "elsewhere"
    cli_json("backup", "create", file)
    with connect(store) as opened:
        opened.upsert([Document("later", "apples of no crate")])
        opened.delete(["d1"])
    said = text("backup", "restore", file, "--store", new, "--erasures", store)
    assert "deleted since the backup, and here too: 1 document" in said
    with connect(new) as restored:
        assert restored.get(["d1", "d4", "later"]).keys() == {"d4"}
        assert restored.pair("v2").embedder == V2


def test_a_backup_is_restored_from_whom_the_public_key_names_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, private, public = tmp_path / "all.backup", tmp_path / "private.pem", tmp_path / "public.pem"
    key = Ed25519PrivateKey.generate()
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert refusal("backup", "create", file, "--sign", code=2)["message"] == "no key is set to sign or verify with"
    assert not file.exists()
    cli_json("backup", "create", file)
    monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(public))
    assert "cannot sign" in refusal("backup", "create", file, "--sign", code=2)["message"]
    unsigned = refusal("backup", "restore", file, "--store", tmp_path / "one", "--require-signature", code=2)
    assert "has no signature" in unsigned["message"]
    monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(private))
    cli_json("backup", "create", file, "--sign")
    monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(public))
    cli_json("backup", "verify", file, "--require-signature")
    cli_json("backup", "restore", file, "--store", tmp_path / "two", "--require-signature")
    assert cli_json("check", "--store", tmp_path / "two")["verdict"] == "pass"
    cli_json("backup", "create", file)  # another file, which nobody signed
    assert not file.with_name("all.backup.sig").exists()
    assert "has no signature" in refusal("backup", "verify", file, "--require-signature", code=2)["message"]


def test_a_backup_is_not_restored_over_a_store_in_use(store: Path, tmp_path: Path) -> None:
    cli_json("backup", "create", tmp_path / "all.backup")
    error = refusal("backup", "restore", tmp_path / "all.backup", "--store", store, code=3)
    assert "empty store" in error["message"]
    assert refusal("backup", "verify", tmp_path / "nothing", code=2)["type"] == "BundleError"
