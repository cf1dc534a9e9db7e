"""Takes torch and the GPU libraries it may need out of fresh locks: `python split_lock.py FRESH LOCKED`.

torch has two builds of one version: that of PyPI, which on Linux needs gigabytes of GPU libraries, and the CPU build,
which needs none, and which pip finds only where somebody laid it ready. So each of the three is a file of its own.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CPU_BUILD = (
    "torch==2.13.0+cpu",
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
)
"""The CPU build of the torch in scripts/constraints.txt, for Python 3.11 on x86-64 Linux, and its SHA-256."""
_GPU = re.compile(r"(nvidia-|cuda-|triton==)")
_HEAD = "# Written by scripts/lock. {}\n"


def entries(text: str) -> list[str]:
    """A lock's requirements, each with the lines of its hashes."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[str] = []
    for line in lines:
        if line.startswith(" "):
            found[-1] += f"{line}\n"
        else:
            found.append(f"{line}\n")
    return found


def main(fresh: Path, locked: Path) -> None:
    """Write the files of `locked`."""
    for name in ("development.txt", "demo.txt"):
        every = entries((fresh / name).read_text())
        rest = [one for one in every if not one.startswith("torch==") and not _GPU.match(one)]
        (locked / name).write_text(_HEAD.format("Installed after torch.txt.") + "".join(rest))
    every = entries((fresh / "development.txt").read_text())
    [torch] = [one for one in every if one.startswith("torch==")]
    (locked / "torch.txt").write_text(_HEAD.format("Where torch-cpu.txt cannot be installed.") + torch)
    build, digest = CPU_BUILD
    cpu = f"{build} \\\n    --hash=sha256:{digest}\n"
    (locked / "torch-cpu.txt").write_text(_HEAD.format("Tried first.") + cpu)
    gpu = "".join(one for one in every if _GPU.match(one))
    (locked / "gpu.txt").write_text(_HEAD.format("What PyPI's build of torch needs on Linux.") + gpu)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
