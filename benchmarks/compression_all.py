"""All runs of `benchmarks.compression`, side by side on the GPUs of one machine, and the teacher.

    python -m benchmarks.compression_all --gpus 2 --slots 6 --teacher-seconds 540 \
        --cost cost.json --budget-ms 15 --steps 800 --recover 60 streams=16 compile=false

The teacher, if a run needs it, is trained on the first GPU, alone if there are others; meanwhile
these take what needs no teacher, `--slots` runs at a time on each; then all take what is left. A
run that fails is tried once more from its last state. Stopped, the same command goes on. Logs:
`OUT/log_NAME.txt`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compression import RUNS, shared_options
from everframe.core.errors import UserError

TEACHER = "teacher-training"
ORDER = (
    *("taylor", "magnitude", "flops", "depth", "width", "random-init", "distilled-studio"),
    *("source-on", "distilled", "source-distilled", "teacher", "studio", "source"),
)
"""The method and its controls first."""
TEACHER_RECIPE = (
    *("sheet_every=0", "save_every_s=120", "refresh_every=0", "world_size=0,0", "worlds=32"),
    *("other_sizes=[]", "rare_sizes=[]", "rollouts.lengths=16,32,48"),
    *("noise.pure_share=0.85", "noise.alone_pure_share=0.8"),
)
"""One frame size, so that less is compiled; all noise levels, since students ask for them."""
SHARED = (
    *("source", "cost", "budget_ms", "steps", "recover", "candidates", "clips", "frames"),
    *("footage", "out"),
)
"""Options of `benchmarks.compression` that every run gets as they are."""
ATTEMPTS, PAUSE_S, POLL_S = 2, 5.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command, what must be there before it can begin, and what is there when it is done."""

    name: str
    command: tuple[str, ...]
    needs: tuple[Path, ...]
    made: Path


@dataclass(slots=True)
class Pool:
    """Jobs that are waiting, in order; threads take from it."""

    waiting: list[Job]
    out: Path
    failed: list[str] = field(default_factory=list[str])
    running: set[str] = field(default_factory=set[str])
    begin: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> tuple[Job | None, bool]:
        """The first that can begin; and whether none ever will, since nothing runs any more."""
        with self._lock:
            for job in self.waiting:
                if all(path.exists() for path in job.needs):
                    self.waiting.remove(job)
                    self.running.add(job.name)
                    return job, False
            return None, not self.running

    def work(self, gpu: int, after: Path | None) -> None:
        """One place on a GPU, until nothing is left; from the moment on at which `after` exists."""
        while self.waiting:
            ready = after is None or after.exists() or TEACHER in self.failed
            job, over = self.take() if ready else (None, False)
            if over:
                return
            if job is None:
                time.sleep(POLL_S)
            else:
                self.do(job, gpu)

    def do(self, job: Job, gpu: int) -> None:
        """Run a job, twice if need be."""
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
        code = 1
        for attempt in range(ATTEMPTS):
            self.tell(f"GPU {gpu} begins {job.name}")
            with (self.out / f"log_{job.name}.txt").open("ab") as log:
                code = subprocess.run(
                    job.command, env=env, stdout=log, stderr=log, check=False
                ).returncode
            self.tell(f"GPU {gpu} ended {job.name}" + (f" with {code}" if code else ""))
            if code == 0 or attempt == ATTEMPTS - 1:
                break
            time.sleep(PAUSE_S)  # so that another job takes the memory first
        with self._lock:
            self.running.discard(job.name)
            if code:
                self.failed.append(job.name)

    def tell(self, text: str) -> None:
        """Print a line with the seconds since the beginning."""
        print(f"{time.monotonic() - self.begin:7.0f} s  {text}", flush=True)


def jobs(args: argparse.Namespace, late: Sequence[str]) -> list[Job]:
    """All that is not done yet, in order."""
    teacher = args.out / TEACHER / "bundle" / "spec.json"
    command = [sys.executable, "-m", "everframe", "train", "teacher", *TEACHER_RECIPE]
    command += [f"seconds={args.teacher_seconds:g}", f"footage={args.footage}"]
    command += [*args.teacher_set, "--out", str(args.out / TEACHER)]
    names = args.runs.split(",")
    found: list[Job] = []
    if any("teacher" in (RUNS[name].guide, RUNS[name].net) for name in names):
        found.append(Job(name=TEACHER, command=tuple(command), needs=(), made=teacher))
    for name in names:
        run = RUNS[name]
        needs: list[Path] = []
        if "teacher" in (run.guide, run.net):
            needs.append(teacher)
        if run.of:
            needs.append(args.out / run.of / "net" / "spec.json")
        command = [sys.executable, "-m", "benchmarks.compression", "run", name]
        command += ["--teacher", str(teacher.parent)]
        for option in SHARED:
            command += [f"--{option.replace('_', '-')}", str(vars(args)[option])]
        command += late
        made = args.out / name / "result.json"
        found.append(Job(name=name, command=tuple(command), needs=tuple(needs), made=made))
    return [job for job in found if not job.made.exists()]


def run_all(args: argparse.Namespace, late: Sequence[str]) -> list[str]:
    """Run what is left; the names of those that failed or could not begin.

    Raises:
        UserError: there is no such run.
    """
    unknown = [name for name in args.runs.split(",") if name not in RUNS]
    if unknown:
        raise UserError(f"no run named '{unknown[0]}'; there are {', '.join(RUNS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    pool = Pool(waiting=jobs(args, late), out=args.out)
    teacher = next((job for job in pool.waiting if job.name == TEACHER), None)
    places: list[threading.Thread] = []
    if teacher is not None:
        pool.waiting.remove(teacher)
        pool.running.add(TEACHER)
        places.append(threading.Thread(target=pool.do, args=(teacher, args.first_gpu)))
    for gpu in range(args.first_gpu, args.first_gpu + args.gpus):
        alone = teacher is not None and gpu == args.first_gpu and args.gpus > 1
        after = teacher.made if teacher is not None and alone else None
        for _ in range(args.slots):
            places.append(threading.Thread(target=pool.work, args=(gpu, after)))
    for place in places:
        place.start()
    for place in places:
        place.join()
    return pool.failed + [job.name for job in pool.waiting]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--first-gpu", type=int, default=0)
    parser.add_argument(
        "--slots", type=int, default=3, help="runs at a time on a GPU (%(default)s)"
    )
    parser.add_argument("--runs", default=",".join(ORDER), metavar="A,B")
    parser.add_argument("--teacher-seconds", type=float, default=540.0)
    parser.add_argument(
        "--teacher-set", action="append", default=[], metavar="key=value", help="of its training"
    )
    shared_options(parser)
    parser.set_defaults(steps=800, recover=60, candidates=3)
    args, late = parser.parse_known_args(arguments)
    wrong = [word for word in late if "=" not in word or word.startswith("-")]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    try:
        missing = run_all(args, late)
    except UserError as error:
        raise SystemExit(str(error)) from None
    if missing:
        print(f"not done: {', '.join(missing)}; see {args.out}/log_*.txt", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
