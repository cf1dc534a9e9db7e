"""Commands that run as another user of this machine: real rights, which root does not have to obey itself.

The interpreter may lie in root's own home, which nobody else may enter. So each process gets a mount namespace in
which that home is empty but for what Python needs.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
READER, SERVICE = 65534, 61234
"""Ids of users that own nothing on this machine."""


def run_as(user: int, *commands: list[str]) -> list[tuple[int, str]]:
    """Run commands of the command line one after the other in a process of that user; exit code and output of each."""
    python = [sys.executable, "-m", "tests.support.other_user", json.dumps([list(map(str, one)) for one in commands])]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _script(user), "sh", *python],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in json.loads(done.stdout.splitlines()[-1])]


@functools.cache
def available() -> bool:
    """Whether this process may become other users and they can run Python."""
    if os.geteuid() or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    try:
        return run_as(READER, ["--version"])[0][0] == 0
    except (AssertionError, subprocess.SubprocessError):
        return False


@contextmanager
def place_for(user: int) -> Iterator[Path]:
    """A folder that a user owns, and that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="vecrollback-rights-"))
    try:
        folder.chmod(0o755)
        os.chown(folder, user, user)
        yield folder
    finally:
        shutil.rmtree(folder)


def _script(user: int) -> str:
    """A script that becomes the user and runs its arguments."""
    home, spare = Path.home(), "/mnt"
    needed = [path for path in {sys.base_prefix, sys.prefix, str(ROOT)} if Path(path).is_relative_to(home)]
    lines = ["set -e"]
    if needed and not home.stat().st_mode & 0o001:
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {spare}"]
        for number, path in enumerate(needed):
            lines += [f"mkdir {spare}/{number}", f"mount --bind {path} {spare}/{number}"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {home}"]
        for number, path in enumerate(needed):
            lines += [f"mkdir -p {path}", f"mount --bind {spare}/{number} {path}"]
    return "\n".join([*lines, f'exec setpriv --reuid {user} --regid {user} --clear-groups "$@"'])


if __name__ == "__main__":
    from tests.cli.support import cli

    outcomes = [cli(*command) for command in json.loads(sys.argv[1])]
    print(json.dumps([(outcome.exit_code, outcome.output) for outcome in outcomes]))
