"""Signatures of files that leave the store: HMAC-SHA256, by a key that lies outside of it.

Digests and the chained history find damage and careless edits. Whoever can write the store can make them agree; only
who has the key can make a signature. `VECROLLBACK_KEY_FILE` names a file that holds the key, `VECROLLBACK_KEY` is the
key itself; the file is better, because an environment is inherited and shown.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path

from vecrollback.errors import UsageError
from vecrollback.storage.local import written

_LEAST_CHARACTERS = 32
_KIND = "hmac-sha256"
SUFFIX = ".sig"
BUNDLE, HEAD = "bundle", "head"
"""Purposes: a file that was exported; the last move of a history, as a notice carries it."""
_HINT = (
    "make one: `python -c 'import secrets; print(secrets.token_hex(32))' > KEY && chmod 600 KEY`, keep it outside of "
    "the store, and set VECROLLBACK_KEY_FILE=KEY"
)


class SigningKey:
    """A key to sign and to verify with. It is shown nowhere."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _LEAST_CHARACTERS:
            raise UsageError(f"the key has fewer than {_LEAST_CHARACTERS} characters", hint=_HINT)
        self._secret = secret

    def sign(self, purpose: str, content: bytes) -> str:
        """The signature of some bytes, for one purpose: one that was made for another does not pass."""
        mac = hmac.new(self._secret, purpose.encode() + b"\0" + content, hashlib.sha256)
        return f"{_KIND}:{mac.hexdigest()}"

    def verify(self, purpose: str, content: bytes, signature: str) -> bool:
        """Whether this key made the signature."""
        return hmac.compare_digest(self.sign(purpose, content).encode(), signature.encode())


def find_key() -> SigningKey | None:
    """The key that is set for this process; None without one. Raises UsageError for one that cannot be used."""
    if path := os.environ.get("VECROLLBACK_KEY_FILE"):
        try:
            return SigningKey(Path(path).read_bytes().strip())
        except OSError as error:
            raise UsageError(f"the key file cannot be read: {error}", hint=_HINT) from error
    text = os.environ.get("VECROLLBACK_KEY")
    return SigningKey(text.strip().encode()) if text else None


def require_key() -> SigningKey:
    """The key that is set. Raises UsageError when none is."""
    key = find_key()
    if key is None:
        raise UsageError("no key is set to sign or verify with", hint=_HINT)
    return key


def head_content(store: str, number: int, digest: str) -> bytes:
    """What is signed of a history's last move."""
    return json.dumps([store, number, digest]).encode()


def signature_path(path: Path) -> Path:
    """Where the signature of a file lies: beside it."""
    return path.with_name(path.name + SUFFIX)


def sign_file(path: Path, purpose: str, sha256: str) -> Path:
    """Write the signature of a file that has this digest. Raises UsageError when no key is set."""
    signature = require_key().sign(purpose, sha256.encode())
    with written(signature_path(path)) as temporary:
        temporary.write_text(signature + "\n", encoding="ascii")
    return signature_path(path)


def signature_problem(path: Path, purpose: str, sha256: str, *, required: bool) -> str:
    """Why a file is not to be trusted, as a sentence; "" when it is signed by the key that is set, or need not be.

    A signature that is there is verified whenever a key is set.
    """
    key = require_key() if required else find_key()
    try:
        signature = signature_path(path).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return f"{path} has no signature: {signature_path(path).name} is not beside it" if required else ""
    except (OSError, UnicodeDecodeError) as error:
        return f"the signature of {path} cannot be read: {error}"
    if key is not None and not key.verify(purpose, sha256.encode(), signature):
        return f"the signature of {path} was not made by the key that is set, or the file was changed"
    return ""
