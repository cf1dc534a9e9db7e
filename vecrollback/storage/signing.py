"""Signatures of files that leave the store, by a key that lies outside of it.

Digests and the chained history find damage and careless edits. Whoever can write the store can make them agree; only
who has the key can make a signature. `VECROLLBACK_KEY_FILE` names a file that holds the key, `VECROLLBACK_KEY` is the
key itself; the file is better, because an environment is inherited and shown.

A key is a secret of 32 characters or more (HMAC-SHA256: whoever can verify can sign), or one of an Ed25519 pair as PEM,
as `openssl genpkey -algorithm ed25519` writes it (RFC 8032, RFC 8410): the private one signs, the public one only
verifies. Which of the two counts is said by the key that is set, never by the signature that is verified.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.storage.local import written

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LEAST_CHARACTERS = 32
_HMAC, _ED25519 = "hmac-sha256", "ed25519"
SUFFIX = ".sig"
BUNDLE, BACKUP, HEAD = "bundle", "backup", "head"
"""Purposes: a file that was exported; the last move of a history, as a notice carries it."""
_HINT = (
    "make one: `python -c 'import secrets; print(secrets.token_hex(32))' > KEY && chmod 600 KEY`, or "
    "`openssl genpkey -algorithm ed25519 -out KEY`, keep it outside of the store, and set VECROLLBACK_KEY_FILE=KEY"
)


class SigningKey(Protocol):
    """A key to verify with, and to sign with unless it is a public one. It is shown nowhere."""

    can_sign: bool

    def sign(self, purpose: str, content: bytes) -> str:
        """The signature of some bytes, for one purpose: one that was made for another does not pass.

        Raises UsageError for a key that can only verify.
        """
        ...

    def verify(self, purpose: str, content: bytes, signature: str) -> bool:
        """Whether this key, or its private half, made the signature."""
        ...


class _Secret:
    can_sign = True

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _LEAST_CHARACTERS:
            raise UsageError(f"the key has fewer than {_LEAST_CHARACTERS} characters", hint=_HINT)
        self._secret = secret

    def sign(self, purpose: str, content: bytes) -> str:
        mac = hmac.new(self._secret, _message(purpose, content), hashlib.sha256)
        return f"{_HMAC}:{mac.hexdigest()}"

    def verify(self, purpose: str, content: bytes, signature: str) -> bool:
        return hmac.compare_digest(self.sign(purpose, content).encode(), signature.encode())


class _KeyPair:
    """An Ed25519 key; `private` is None where only the public half is here."""

    def __init__(self, private: Ed25519PrivateKey | None, public: Ed25519PublicKey) -> None:
        self._private, self._public, self.can_sign = private, public, private is not None

    def sign(self, purpose: str, content: bytes) -> str:
        if self._private is None:
            raise _cannot_sign()
        return f"{_ED25519}:{self._private.sign(_message(purpose, content)).hex()}"

    def verify(self, purpose: str, content: bytes, signature: str) -> bool:
        from cryptography.exceptions import InvalidSignature

        kind, _, digits = signature.partition(":")
        if kind != _ED25519:
            return False
        try:
            self._public.verify(bytes.fromhex(digits), _message(purpose, content))
        except (InvalidSignature, ValueError):
            return False
        return True


def _cannot_sign() -> UsageError:
    return UsageError(
        "the key that is set is a public one: it verifies, and cannot sign",
        hint="set VECROLLBACK_KEY_FILE to the private one where files are signed",
    )


def _message(purpose: str, content: bytes) -> bytes:
    return purpose.encode() + b"\0" + content


def _key_of(data: bytes) -> SigningKey:
    """The key that these bytes hold."""
    data = data.strip()
    return _key_pair(data) if data.startswith(b"-----BEGIN") else _Secret(data)


def _key_pair(pem: bytes) -> SigningKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ImportError as error:
        raise MissingDependencyError("cryptography", "signing") from error
    try:
        key = load_pem_public_key(pem) if b"PUBLIC KEY" in pem else load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"the key is not one that can be read: {error}", hint=_HINT) from error
    if isinstance(key, Ed25519PrivateKey):
        return _KeyPair(key, key.public_key())
    if isinstance(key, Ed25519PublicKey):
        return _KeyPair(None, key)
    raise UsageError("the key is not an Ed25519 key", hint=_HINT)


def find_key() -> SigningKey | None:
    """The key that is set for this process; None without one. Raises UsageError for one that cannot be used."""
    if path := os.environ.get("VECROLLBACK_KEY_FILE"):
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"the key file cannot be read: {error}", hint=_HINT) from error
        return _key_of(data)
    text = os.environ.get("VECROLLBACK_KEY")
    return _key_of(text.encode()) if text else None


def require_key(*, to_sign: bool = False) -> SigningKey:
    """The key that is set. Raises UsageError when none is, or when it is `to_sign` and only verifies."""
    key = find_key()
    if key is None:
        raise UsageError("no key is set to sign or verify with", hint=_HINT)
    if to_sign and not key.can_sign:
        raise _cannot_sign()
    return key


def head_content(store: str, number: int, digest: str) -> bytes:
    """What is signed of a history's last move."""
    return json.dumps([store, number, digest]).encode()


def signature_path(path: Path) -> Path:
    """Where the signature of a file lies: beside it."""
    return path.with_name(path.name + SUFFIX)


def sign_file(path: Path, purpose: str, sha256: str) -> Path:
    """Write the signature of a file that has this digest. Raises UsageError when no key is set that can sign."""
    with written(signature_path(path)) as temporary:
        write_signature(temporary, purpose, sha256)
    return signature_path(path)


def write_signature(path: Path, purpose: str, sha256: str) -> None:
    """Write the signature of a file that has this digest to a path. Raises UsageError."""
    path.write_text(require_key(to_sign=True).sign(purpose, sha256.encode()) + "\n", encoding="ascii")


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
