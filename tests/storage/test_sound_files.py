"""Files are compared with their digests once, and again when they were replaced."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from vecrollback.storage import LocalFileStore
from vecrollback.storage.sound_files import SoundFiles

NAMES = ("data/a", "data/b")


@pytest.fixture
def files(tmp_path: Path) -> LocalFileStore:
    (tmp_path / "table/data").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "table" / name).write_bytes(name.encode())
    return LocalFileStore(tmp_path / "table")


def digests(files: LocalFileStore) -> dict[str, str]:
    return {name: files.digest(name) for name in NAMES}


def change(path: Path) -> None:
    """Another byte, in a file of the same length that was written a second later."""
    status = path.stat()
    path.write_bytes(b"X" + path.read_bytes()[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_sound_files_have_no_damage(files: LocalFileStore) -> None:
    recorded = digests(files)
    assert SoundFiles(files).damage(NAMES, lambda _: recorded) == {}


@pytest.mark.parametrize("memory", [False, True])
def test_each_file_is_read_once_and_by_the_next_process_only_without_a_memory(
    files: LocalFileStore, tmp_path: Path, memory: bool
) -> None:
    recorded, place = digests(files), tmp_path / "cache/sound.json" if memory else None
    with mock.patch.object(LocalFileStore, "digest", autospec=True, side_effect=LocalFileStore.digest) as reads:
        sound = SoundFiles(files, place)
        for _ in range(3):
            assert sound.damage(NAMES, lambda _: recorded) == {}
        assert reads.call_count == 2
        assert SoundFiles(files, place).damage(NAMES, lambda _: recorded) == {}
        assert reads.call_count == (2 if memory else 4)
        assert SoundFiles(files, place).damage(NAMES, lambda _: recorded, anew=True) == {}
        assert reads.call_count == (4 if memory else 6)


def test_a_changed_and_a_missing_file_are_found_and_sound_again_when_put_back(files: LocalFileStore) -> None:
    recorded, sound = digests(files), SoundFiles(files)
    assert sound.damage(NAMES, lambda _: recorded) == {}
    before = (files.root / "data/a").read_bytes()
    change(files.root / "data/a")
    (files.root / "data/b").unlink()
    assert sound.damage(NAMES, lambda _: recorded) == {"data/a": "changed after it was written", "data/b": "missing"}
    (files.root / "data/a").write_bytes(before)
    assert sound.damage(["data/a"], lambda _: recorded) == {}


def test_damage_is_never_remembered_as_sound(files: LocalFileStore, tmp_path: Path) -> None:
    recorded, memory = digests(files), tmp_path / "sound.json"
    change(files.root / "data/a")
    for _ in range(2):
        assert SoundFiles(files, memory).damage(NAMES, lambda _: recorded) == {"data/a": "changed after it was written"}
    assert list(json.loads(memory.read_text())[files.uri]) == ["data/b"]


def test_what_changed_without_a_trace_is_found_when_all_is_read_anew(files: LocalFileStore) -> None:
    recorded, sound = digests(files), SoundFiles(files)
    sound.damage(NAMES, lambda _: recorded)
    path = files.root / "data/a"
    status = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"X")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sound.damage(NAMES, lambda _: recorded) == {}
    assert sound.damage(NAMES, lambda _: recorded, anew=True) == {"data/a": "changed after it was written"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"elsewhere": {}}', b"\xff\xfe", b'{"%s": 7}'])
def test_a_memory_that_is_damaged_is_not_believed(files: LocalFileStore, tmp_path: Path, content: bytes) -> None:
    recorded, memory = digests(files), tmp_path / "sound.json"
    memory.write_bytes(content.replace(b"%s", files.uri.encode()))
    change(files.root / "data/a")
    assert list(SoundFiles(files, memory).damage(NAMES, lambda _: recorded)) == ["data/a"]


def test_a_file_without_a_digest_passes_while_it_is_there(files: LocalFileStore) -> None:
    assert SoundFiles(files).damage([*NAMES, "data/c"], lambda _: {}) == {"data/c": "missing"}


def test_only_the_digests_of_files_that_must_be_compared_are_asked_for(files: LocalFileStore) -> None:
    recorded, sound, asked = digests(files), SoundFiles(files), list[str]()

    def ask(names: Sequence[str]) -> dict[str, str]:
        asked.extend(names)
        return {name: recorded[name] for name in names}

    assert sound.damage(["data/a"], ask) == {}
    assert sound.damage(["data/a"], ask) == {}
    assert sound.damage(NAMES, ask) == {}
    assert asked == ["data/a", "data/b"]


def test_a_forked_process_waits_for_no_thread_of_its_parent(files: LocalFileStore) -> None:
    recorded, sound = digests(files), SoundFiles(files)
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with sound._lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    if (pid := os.fork()) == 0:
        signal.alarm(30)
        os._exit(0 if sound.damage(NAMES, lambda _: recorded) == {} else 1)
    done.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
