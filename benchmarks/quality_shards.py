"""The quality suite dealt out to processes and GPUs, then put together.

    python benchmarks/quality_shards.py --shards 12 --gpus 2 --folder runs/quality \
        --model studio --footage examples/footage/clips --engine megakernel --device cuda

All other options go to `everframe evaluate quality`. Each process plays some of the looks; the
caches are joined and the suite, which then finds everything played, writes the report. Stopped, the
same command goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from everframe.data.looks import LOOKS
from everframe.evaluate.suite import CACHE_FILE, STRIP_FOLDER
from everframe.runtime.bench import visible_gpu

SUITE = (sys.executable, "-m", "everframe", "evaluate", "quality")


def play(looks: Sequence[str], args: argparse.Namespace, options: Sequence[str]) -> list[Path]:
    """Play the looks, each in one of the processes; the folders of those that ended well."""
    running: list[tuple[Path, subprocess.Popen[bytes]]] = []
    for number in range(min(args.shards, len(looks))):
        folder = args.folder / f"shard_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if args.gpus:
            env["CUDA_VISIBLE_DEVICES"] = visible_gpu(number % args.gpus)
        mine = ",".join(looks[number :: args.shards])
        command = [*SUITE, *options, "--looks", mine, "--out", str(folder)]
        with (folder / "log.txt").open("wb") as log:
            running.append((folder, subprocess.Popen(command, stdout=log, stderr=log, env=env)))
    done: list[Path] = []
    for folder, process in running:
        if process.wait():
            print(f"{folder.name} ended with {process.returncode}; see {folder}/log.txt")
        else:
            done.append(folder)
    return done


def join(folders: Sequence[Path], into: Path) -> None:
    """One cache of several: the header of the first, the rows and the strips of all."""
    (into / STRIP_FOLDER).mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for folder in folders:
        header, *rows = (folder / CACHE_FILE).read_text(encoding="utf-8").splitlines()
        lines = lines or [header]
        lines += rows
        for strip in (folder / STRIP_FOLDER).iterdir():
            shutil.copy(strip, into / STRIP_FOLDER / strip.name)
    (into / CACHE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, play, join, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=8, help="processes (%(default)s)")
    parser.add_argument("--gpus", type=int, default=0, help="deal them out to so many GPUs")
    parser.add_argument("--looks", default="all", metavar="A,B")
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    args, options = parser.parse_known_args(arguments)
    looks = [look.name for look in LOOKS] if args.looks == "all" else args.looks.split(",")
    done = play(looks, args, options)
    if len(done) < min(args.shards, len(looks)):
        return 1
    whole = args.folder / "all"
    join(done, whole)
    command = [*SUITE, *options, "--looks", args.looks, "--out", str(whole)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
