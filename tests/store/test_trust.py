"""What comes from elsewhere chooses nothing: no address for texts and keys, no code, no command, until it is allowed.

An attacker's bundle, store and configuration, and an operator who is tired. Whether a byte leaves is told by a server
that listens at an address of this machine which is not its loopback.

Covers storage.trust, embedders.allowing.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vecrollback
from tests.support.http_server import serving
from tests.support.openai_server import OpenAIServer
from vecrollback import Document
from vecrollback.errors import UntrustedError, VecrollbackError
from vecrollback.storage.trust import (
    is_loopback,
    is_trusted,
    require_no_link_local,
    require_trusted,
    set_trusted,
    trusted_folders,
)

KEY = "sk-" + "s" * 40


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine on which nobody has said anything yet."""
    monkeypatch.delenv("VECROLLBACK_TRUST")
    monkeypatch.delenv("VECROLLBACK_ALLOW")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("VICTIM_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def listener() -> Iterator[OpenAIServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
        except OSError:
            pytest.skip("this machine has only its loopback")
        host = probe.getsockname()[0]
    with OpenAIServer(host=host) as server:
        yield server


def _spec(listener: OpenAIServer) -> str:
    return f"openai:m?base_url={listener.url}&api_key_env=VICTIM_KEY"


@pytest.fixture
def theirs(tmp_path: Path, listener: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that its maker built with a service of their own, and a bundle of it."""
    monkeypatch.setenv("VECROLLBACK_ALLOW", f"{listener.url} VICTIM_KEY")
    with vecrollback.connect(tmp_path / "theirs", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n}") for n in range(5)])
        store.promote(store.reembed(_spec(listener), name="v1", index="Flat").wait(), reason="first")
        store.export_snapshot("v1@1", tmp_path / "v1.bundle")
    monkeypatch.delenv("VECROLLBACK_ALLOW")
    _as_sent(tmp_path / "theirs", monkeypatch)
    listener.requests.clear()
    return tmp_path / "theirs"


def _as_sent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the store had been made on another machine."""
    set_trusted(root, trusted=False)
    monkeypatch.setattr("vecrollback.storage.trust._created", set())


def test_no_byte_leaves_for_a_store_that_somebody_sent(theirs: Path, listener: OpenAIServer) -> None:
    with vecrollback.connect(theirs) as store:
        for act in (
            lambda: store.search("my secret plans"),
            lambda: store.catch_up("v1"),
            lambda: store.reembed(_spec(listener), name="v2").wait(),
            lambda: store.search(["my", "secret", "plans"]),
        ):
            store.upsert([Document("mine", "my secret plans")])
            with pytest.raises(UntrustedError, match="nobody has allowed"):
                act()
        assert store.check("v1").verdict == "unknown"
    assert listener.requests == []


def test_no_byte_leaves_for_a_bundle(
    theirs: Path, listener: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del theirs
    with vecrollback.connect(tmp_path / "mine", create=True) as store:
        store.upsert([Document("mine", "my secret plans")])
        with pytest.raises(UntrustedError, match=f"{listener.url} with VICTIM_KEY"):
            store.import_snapshot(tmp_path / "v1.bundle")
        assert store.pairs() == []
        assert listener.requests == []
        monkeypatch.setenv("VECROLLBACK_ALLOW", f"{listener.url} VICTIM_KEY")
        store.import_snapshot(tmp_path / "v1.bundle")
        store.catch_up("v1")
    assert listener.requests


def test_a_store_that_was_created_here_may_open_what_its_operator_names(listener: OpenAIServer, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "mine", create=True) as store:
        store.upsert([Document("d", "a note")])
        store.promote(store.reembed(_spec(listener), name="v1", index="Flat").wait(), reason="first")
    _search(tmp_path / "mine")
    assert tmp_path / "mine" in trusted_folders()


def test_a_path_is_not_trusted_for_what_lay_there_before(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vecrollback.connect(tmp_path / "mine", create=True).close()
    assert is_trusted(tmp_path / "mine")
    _as_sent(theirs, monkeypatch)
    shutil.rmtree(tmp_path / "mine")
    theirs.rename(tmp_path / "mine")  # as somebody may where everybody may write
    assert not is_trusted(tmp_path / "mine")
    (tmp_path / "mine" / "vecrollback.toml").write_text("[gates]\npromote = ['lag = 0']\n")
    with pytest.raises(UntrustedError, match="when somebody did, another store lay in it"):
        require_trusted(tmp_path / "mine" / "vecrollback.toml", "[gates]")
    set_trusted(tmp_path / "mine", trusted=True)
    assert is_trusted(tmp_path / "mine")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder away")
def test_a_folder_that_belongs_to_somebody_else_now_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    set_trusted(folder, trusted=True)
    os.chown(folder, 12345, -1)
    assert not is_trusted(folder)
    os.chown(folder, 0, -1)
    assert is_trusted(folder)


def test_the_list_of_an_earlier_version_counts_and_a_broken_line_trusts_nobody(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    set_trusted(tmp_path / "c", trusted=True)
    [file] = (tmp_path / "config").rglob("trusted-folders")
    file.write_text(
        f'{tmp_path / "a"}\n{{"folder": "{tmp_path / "b"}", "ow\n{{"folder": 5, "x": 1}}\n' + file.read_text()
    )
    assert trusted_folders() == [tmp_path / "a", tmp_path / "c"]
    assert is_trusted(tmp_path / "a")
    assert not is_trusted(tmp_path / "b")


def test_processes_that_trust_at_once_lose_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / f"f{number}" for number in range(8)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(8) as threads:  # each opens the lock for itself, as a process does
        list(threads.map(lambda folder: set_trusted(folder, trusted=True), folders))
    assert set(folders) <= set(trusted_folders())


def test_a_store_created_where_nothing_can_be_kept_is_trusted_by_its_process(
    listener: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/nowhere")
    with vecrollback.connect(tmp_path / "mine", create=True) as store:
        store.upsert([Document("d", "a note")])
        store.promote(store.reembed(_spec(listener), name="v1", index="Flat").wait(), reason="first")
    _search(tmp_path / "mine")


def test_no_byte_leaves_from_a_server_over_their_store(theirs: Path, listener: OpenAIServer) -> None:
    with serving(theirs) as server:
        answer = server.post("/v1/search", {"query": "my secret plans"})
        assert answer.status_code == 409, answer.text
        assert answer.json()["error"]["type"] == "UntrustedError"
    assert listener.requests == []


def test_an_operator_allows_one_address_for_one_key(
    theirs: Path, listener: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = tmp_path / "vecrollback.toml"
    rule.write_text(f'[allow]\nservices = ["{listener.url} OTHER_KEY"]\n')
    with pytest.raises(UntrustedError, match="nobody has trusted it"):
        _search(theirs)  # the file in the working directory may be somebody else's
    set_trusted(tmp_path, trusted=True)
    with pytest.raises(UntrustedError, match="VICTIM_KEY"):
        _search(theirs)
    assert listener.requests == []
    rule.write_text(f'[allow]\nservices = ["{listener.url} VICTIM_KEY"]\n')
    _search(theirs)
    assert listener.requests
    set_trusted(tmp_path, trusted=False)
    monkeypatch.setenv("VECROLLBACK_ALLOW", f"{listener.url}/ VICTIM_KEY")
    _search(theirs)


@pytest.mark.parametrize(
    "spec",
    [
        "service:m?base_url=http://203.0.113.9:1/v1&header.x=${VICTIM_KEY}",
        "openai:m?api_key_env=AWS_SECRET_ACCESS_KEY",
        "openai:m?base_url=http://203.0.113.9:1/v1",
        "service:m?base_url=http://169.254.169.254/latest&api_key_env=VICTIM_KEY",
    ],
)
def test_every_way_to_name_an_address_or_a_key_is_seen(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecrollback.connect(tmp_path / "theirs", create=True) as store, pytest.raises(UntrustedError):
        _as_sent(tmp_path / "theirs", monkeypatch)
        store.resources.embedders.open(spec)


def test_code_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef make(texts): return texts\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with vecrollback.connect(tmp_path / "theirs", create=True) as store:
        _as_sent(tmp_path / "theirs", monkeypatch)
        with pytest.raises(UntrustedError, match="evil:make is code"):
            store.reembed("evil:make", name="v1")
        assert "evil" not in sys.modules
        assert not (tmp_path / "ran").exists()
        monkeypatch.setenv("VECROLLBACK_ALLOW", "evil:*")
        with pytest.raises(VecrollbackError):
            store.reembed("evil:make", name="v1").wait()
        assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["store", "working directory"])
def test_a_configuration_of_somebody_else_runs_nothing_and_lifts_no_rule(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "mine"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n}") for n in range(5)])
        for name in ("v1", "v2"):
            pair = store.reembed(f"hash:32?seed={name[1]}", name=name, index="Flat").wait()
            store.promote(pair, reason="first")
    _as_sent(root, monkeypatch)
    folder = root if place == "store" else tmp_path
    (folder / "vecrollback.toml").write_text(
        f'[gates]\npromote = []\n[policy]\n[[policy.notify]]\nname = "x"\nkind = "command"\n'
        f'command = ["touch", "{tmp_path / "ran"}"]\n'
    )
    with vecrollback.connect(root) as store:
        store.rollback(reason="worse", catch_up=False)  # law 7: it goes on, and nobody is told by that file
        store.notices.close()
        assert store.live().name == "v1"
        with pytest.raises(UntrustedError, match=r"\[gates\]"):
            store.promote("v2", reason="again", override=True)
    assert not (tmp_path / "ran").exists()
    set_trusted(folder, trusted=True)
    with vecrollback.connect(root) as store:
        store.promote("v2", reason="again", override=True)
        store.rollback(reason="worse", catch_up=False)
    assert (tmp_path / "ran").exists()


def test_a_catalog_that_the_working_directory_names_gets_no_password(tmp_path: Path) -> None:
    (tmp_path / "vecrollback.toml").write_text('catalog = "postgresql+psycopg://me@203.0.113.9/db"\n')
    with pytest.raises(UntrustedError, match="the catalog"):
        vecrollback.connect(tmp_path / "store", create=True)


def test_a_pickle_in_a_foreign_qdrant_folder_is_not_loaded(tmp_path: Path) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason="needs the extra qdrant")
    from vecrollback.connectors.qdrant import QdrantConnector

    folder = tmp_path / "db"
    client = qdrant.QdrantClient(path=str(folder))
    shape = qdrant.models.VectorParams(size=3, distance=qdrant.models.Distance.COSINE)
    client.create_collection("c", vectors_config=shape)
    client.upsert("c", [qdrant.models.PointStruct(id=n, vector=[1, 2, n], payload={"t": [n, None]}) for n in (1, 2)])
    client.close()
    connector = QdrantConnector(str(folder), "c", None)
    assert connector.count == 2
    connector.close()

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    stream = io.BytesIO()
    pickle.Pickler(stream).dump(Evil())
    [file] = folder.rglob("*.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE points SET point = ? WHERE rowid = 2", [stream.getvalue()])
    connection.close()
    with pytest.raises(UntrustedError, match=r"it names (posix|nt)\.system"):
        QdrantConnector(str(folder), "c", None)
    assert not (tmp_path / "ran").exists()


def test_a_link_local_address_is_refused_by_what_it_leads_to() -> None:
    for address in ("http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"):
        with pytest.raises(UntrustedError):
            require_no_link_local(address)
    require_no_link_local("http://127.0.0.1/")
    assert is_loopback("http://127.1.2.3:80/x")
    assert is_loopback("http://[::1]/")
    assert not any(map(is_loopback, ("http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://x/")))


def _search(root: Path) -> None:
    with vecrollback.connect(root) as store:
        assert store.search("note").hits
