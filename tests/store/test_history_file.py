"""A history that was rewritten, cut off or erased does not pass against what was exported before; nor a forged bundle.

Covers storage.signing, store.history.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import vecrollback
from vecrollback import Document, Store
from vecrollback.catalog import chained_hash
from vecrollback.catalog.aliases import GENESIS
from vecrollback.errors import BundleError, UsageError

KEY = "k" * 40


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True, actor="anna") as store:
        store.upsert([Document(f"d{n}", f"note {n}") for n in range(5)])
        for name in ("v1", "v2"):
            store.promote(store.reembed(f"hash:32?seed={name[1]}", name=name, index="Flat").wait(), reason="first")
    return root


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(tmp_path / "key"))


def _rewritten(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Who can write the catalog blames somebody else for a move, and makes the chain anew."""
    return [row | {"actor": "bob"} if row["number"] == 2 else row for row in rows]


def _erased(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row for row in rows if row["number"] != 1]


def _cut_off(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return rows[:-1]


@pytest.mark.parametrize("attack", [_rewritten, _erased, _cut_off])
def test_history_shows_tampering_against_an_export(
    root: Path, tmp_path: Path, attack: Callable[[list[dict[str, object]]], list[dict[str, object]]]
) -> None:
    export = tmp_path / "history.json"
    with vecrollback.connect(root) as store:
        store.export_history(export)
        assert store.verify_history([export]).verdict == "pass"
    _forge(root, attack)
    with vecrollback.connect(root) as store:
        assert store.verify_history().verdict == "pass"  # the chain alone cannot tell, and says so
        assert "itself alone" in store.verify_history().notes[0]
        proof = store.verify_history([export])
        assert proof.verdict == "fail"
        assert proof.problems


def test_an_export_that_grew_old_still_fits(store: Store, tmp_path: Path) -> None:
    store.export_history(tmp_path / "history.json")
    store.rollback(reason="worse", catch_up=False)
    assert store.verify_history([tmp_path / "history.json"]).verdict == "pass"


@pytest.mark.usefixtures("key")
def test_a_forged_export_is_seen_by_its_signature(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, unsigned = tmp_path / "signed.json", tmp_path / "unsigned.json"
    store.export_history(signed, sign=True)
    store.export_history(unsigned)
    assert store.verify_history([signed], require_signature=True).verdict == "pass"
    assert store.verify_history([unsigned], require_signature=True).verdict == "fail"
    signed.write_text(signed.read_text().replace('"at": "2', '"at": "1', 1))
    assert "signature" in store.verify_history([signed]).problems[0]
    monkeypatch.delenv("VECROLLBACK_KEY_FILE")
    assert "no key" in store.verify_history([signed]).notes[0]
    with pytest.raises(UsageError, match="no key is set"):
        store.verify_history([signed], require_signature=True)
    monkeypatch.setenv("VECROLLBACK_KEY", "short")
    with pytest.raises(UsageError, match="fewer than"):
        store.export_history(signed, sign=True)


def test_an_export_is_verified_without_what_signs_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv("VECROLLBACK_KEY", private.decode())
    store.export_history(tmp_path / "history.json", sign=True)
    store.export_snapshot("v1@1", tmp_path / "v1.bundle", sign=True)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("VECROLLBACK_KEY", public.decode())
    assert store.verify_history([tmp_path / "history.json"], require_signature=True).verdict == "pass"
    store.import_snapshot(tmp_path / "v1.bundle", name="again", require_signature=True)
    with pytest.raises(UsageError, match="cannot sign"):
        store.export_history(tmp_path / "history.json", sign=True)
    store.rollback(reason="a notice of it has no signature, and is sent", catch_up=False)


@pytest.mark.usefixtures("key")
def test_a_notice_is_an_anchor(root: Path, tmp_path: Path) -> None:
    notice = tmp_path / "notice.json"
    channel = f'kind = "command"\ncommand = ["sh", "-c", "cat > {notice}"]\n'
    (root / "vecrollback.toml").write_text(f"[policy]\n[[policy.notify]]\nname = 'file'\n{channel}")
    with vecrollback.connect(root) as store:
        from vecrollback.switching.policy import load_policy

        policy = load_policy(root)
        assert policy is not None
        store.notices.use(policy)
        store.rollback(reason="worse", catch_up=False)
    assert json.loads(notice.read_text())["history"]["number"] == 5
    with vecrollback.connect(root) as store:
        assert store.verify_history([notice], require_signature=True).verdict == "pass"
    _forge(root, lambda rows: [row | {"reason": "x"} if row["number"] == 5 else row for row in rows])
    with vecrollback.connect(root) as store:
        assert "another one" in store.verify_history([notice]).problems[0]


@pytest.mark.usefixtures("key")
def test_a_bundle_is_signed_on_wish_and_verified_on_import(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "v1.bundle"
    store.export_snapshot("v1@1", bundle)
    with vecrollback.connect(tmp_path / "other", create=True) as other:
        with pytest.raises(BundleError, match="has no signature"):
            other.import_snapshot(bundle, require_signature=True)
        store.export_snapshot("v1@1", bundle, sign=True)
        store.export_snapshot("v2@1", tmp_path / "v2.bundle")
        (tmp_path / "v2.bundle.sig").write_bytes((tmp_path / "v1.bundle.sig").read_bytes())
        with pytest.raises(BundleError, match="not made by the key"):
            other.import_snapshot(tmp_path / "v2.bundle")
        assert other.pairs() == []
        assert other.import_snapshot(bundle, require_signature=True).ref == "v1@1"
        monkeypatch.setenv("VECROLLBACK_KEY_FILE", str(tmp_path / "nowhere"))
        with pytest.raises(UsageError, match="cannot be read"):
            other.import_snapshot(bundle, require_signature=True)
    assert KEY not in str(list(store.history()))


def _forge(root: Path, attack: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    """Change the history as somebody who can write the whole store, the marks of the witness too."""
    connection = sqlite3.connect(root / "catalog.db")
    connection.row_factory = sqlite3.Row
    rows = attack([dict(row) for row in connection.execute("SELECT * FROM history ORDER BY number")])
    connection.execute("DELETE FROM history")
    previous = GENESIS
    for number, row in enumerate(rows, 1):
        row |= {"number": number, "previous_hash": previous}
        previous = row["hash"] = chained_hash(row)
        connection.execute(
            f"INSERT INTO history ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )
    connection.commit()
    connection.close()
    for mark in (root / "witness").glob("move-*"):
        mark.unlink()
