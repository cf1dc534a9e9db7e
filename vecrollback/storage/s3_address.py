"""The URI of a store on object storage, and what it takes to reach it.

Secrets come from where every tool for S3 looks (environment, profile, the machine's role), never from the URI: that one
is shown, kept in the environment of child processes and seen in `ps`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from vecrollback.errors import UsageError

SCHEME = "s3"
_HINT = "s3://BUCKET/PREFIX?region=eu-central-1, or with &endpoint=https://HOST for a server that is not Amazon's"
_SECRET = ("key", "secret", "token", "password")
_FROM_PROFILE = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL",
}


@dataclass(frozen=True, slots=True)
class S3Address:
    """A prefix in a bucket. `keys`: access key, secret and session token, where environment or profile say them."""

    bucket: str
    prefix: str
    region: str = ""
    endpoint: str = ""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def uri(self) -> str:
        """Where it is, for Lance."""
        return f"{SCHEME}://{self.bucket}/{self.prefix}"

    @property
    def shown(self) -> str:
        """How to open it again, but for the secrets."""
        options = {"region": self.region, "endpoint": self.endpoint}
        query = urlencode({name: value for name, value in options.items() if value}, safe=":/")
        return self.uri + (f"?{query}" if query else "")

    @property
    def insecure(self) -> bool:
        """Whether it is asked for over plain HTTP."""
        return self.endpoint.startswith("http://")


def is_address(uri: str) -> bool:
    return urlsplit(uri).scheme == SCHEME


def parse_address(uri: str, environment: Mapping[str, str] | None = None) -> S3Address:
    """The address of `s3://bucket/prefix`, with region, endpoint and keys from the environment. Raises UsageError."""
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.username is not None or any(word in name.lower() for name in query for word in _SECRET):
        raise UsageError(
            "the store's URI holds a secret, which everybody could see",
            hint="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or AWS_PROFILE",
        )
    if strange := sorted(query.keys() - {"region", "endpoint"}):
        raise UsageError(f"{strange[0]!r} is not a valid option of a store's URI", hint=_HINT)
    prefix = unquote(parts.path).strip("/")
    if not parts.netloc or not prefix or any(part in ("", ".", "..") for part in prefix.split("/")):
        raise UsageError(f"{uri.partition('?')[0]!r} names no prefix in a bucket", hint=_HINT)
    settings = _s3_settings(os.environ if environment is None else environment)
    endpoint = query.get("endpoint") or settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL") or ""
    if endpoint and urlsplit(endpoint).username is not None:
        raise UsageError("the endpoint of the object storage holds a secret", hint=_HINT)
    region = query.get("region") or settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION") or ""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = {name.lower(): settings[name] for name in names if settings.get(name)}
    return S3Address(parts.netloc, prefix, region, endpoint.rstrip("/"), keys)


def _s3_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment says, and for the rest the profile it names."""
    profile = environment.get("AWS_PROFILE")
    if not profile:
        return dict(environment)
    import configparser

    home = Path(environment.get("HOME") or "~").expanduser() / ".aws"
    files = configparser.ConfigParser(interpolation=None)
    files.read([environment.get("AWS_CONFIG_FILE") or home / "config"])
    files.read([environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"])
    values: dict[str, str] = {}
    for section in (f"profile {profile}", profile):
        if files.has_section(section):
            values |= {_FROM_PROFILE[name]: value for name, value in files.items(section) if name in _FROM_PROFILE}
    # The environment wins over the profile, as in Amazon's own tools.
    return {**values, **environment}
