"""The URI of a store, and what it must not hold.

Covers storage.config, storage.s3_address.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from vecrollback.errors import UsageError
from vecrollback.storage import LocalFileStore, file_store_at
from vecrollback.storage.config import Settings
from vecrollback.storage.s3_address import parse_address

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_REGION": "eu-central-1"}


def test_an_address_has_its_options_from_the_uri_then_the_environment() -> None:
    found = parse_address("s3://bucket/a/b?endpoint=http://127.0.0.1:9000", ENVIRONMENT)
    assert (found.bucket, found.prefix, found.region) == ("bucket", "a/b", "eu-central-1")
    assert found.insecure
    assert found.shown == "s3://bucket/a/b?region=eu-central-1&endpoint=http://127.0.0.1:9000"
    assert found.keys == {"aws_access_key_id": "id", "aws_secret_access_key": "hidden"}
    assert parse_address(found.shown, {}).shown == found.shown
    assert parse_address("s3://bucket/a?region=x", ENVIRONMENT).region == "x"


def test_a_profile_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[team]\naws_access_key_id = from-file\naws_secret_access_key = hidden\n"
    )
    (tmp_path / ".aws" / "config").write_text(
        "[profile team]\nregion = us-west-2\nendpoint_url = https://s3.internal\n"
    )
    given = {"HOME": str(tmp_path), "AWS_PROFILE": "team"}
    found = parse_address("s3://bucket/a", given)
    assert (found.keys["aws_access_key_id"], found.region, found.endpoint) == (
        "from-file",
        "us-west-2",
        "https://s3.internal",
    )
    assert parse_address("s3://bucket/a", given | {"AWS_REGION": "here"}).region == "here"


def test_no_secret_shows() -> None:
    found = parse_address("s3://bucket/a", ENVIRONMENT)
    assert "hidden" not in repr(found) + found.shown + found.uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://bucket/a?aws_secret_access_key=hidden", "holds a secret"),
        ("s3://me:hidden@bucket/a", "holds a secret"),
        ("s3://bucket/a?endpoint=http://me:hidden@host", "holds a secret"),
        ("s3://bucket", "names no prefix"),
        ("s3://bucket/a/../b", "names no prefix"),
        ("s3:///a", "names no prefix"),
        ("s3://bucket/a?colour=red", "is not a valid option"),
        ("gs://bucket/a", "cannot be at"),
    ],
)
def test_a_bad_address_is_refused_and_no_secret_repeated(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        file_store_at(uri)
    assert "hidden" not in str(refused.value) + refused.value.hint


def test_a_store_on_object_storage_needs_a_catalog_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="pip install 'vecrollback[s3]'")
    monkeypatch.delenv("VECROLLBACK_CATALOG", raising=False)
    with pytest.raises(UsageError, match="needs its catalog in PostgreSQL") as refused:
        vecrollback.connect("s3://bucket/a?endpoint=http://127.0.0.1:1", create=True)
    assert "--catalog" in refused.value.hint


def test_directories_are_what_they_were() -> None:
    for place in ("some/where", "file:///some/where", Path("some/where")):
        assert isinstance(file_store_at(place), LocalFileStore)


@pytest.mark.parametrize(("said", "bytes_"), [("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("10", 10), ("2kb", 2000)])
def test_the_size_of_the_cache_is_read(said: str, bytes_: int) -> None:
    assert Settings("x", "y", cache_size=said).cache_bytes == bytes_


@pytest.mark.parametrize("said", ["much", "-1GB", "5 elephants", ""])
def test_a_size_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="cache_size"):
        _ = Settings("x", "y", cache_size=said).cache_bytes
