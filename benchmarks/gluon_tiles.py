"""Whether Gluon closes the gap of the mega kernel at large shapes: `python
benchmarks/gluon_tiles.py [--json FILE]` on a Hopper GPU, `--compile` without one.

Blocks of the shapes C, D and E, reduced to their products and attention, run as tasks in static
lists with counters in one persistent launch of a warp-specialised Gluon kernel (`gluon_kernel`),
against float32, beside torch's own kernels. Every variant has a process and a
time limit of its own; all are compiled first, at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gluon_run import Options

LAYERS, EACH = 6, 6
"""Blocks of the timed chain; tasks per CTA of the timed kinds."""
COUNTED = ("HGMMA", "UTMALDG", "UTMASTG", "SYNCS", "USETMAXREG", "BAR.SYNC", "MUFU.EX2", "LDL")


@dataclass(frozen=True, slots=True)
class Variant:
    """`engine`: gluon, triton or torch; the rest as in `gluon_run.Options`."""

    engine: str
    shape: str = "all"
    bounded: bool = True
    share: int = 0
    ordered: bool = False
    lead: int = 0

    @property
    def name(self) -> str:
        """As the command line takes it."""
        softmax = "bounded" if self.bounded else "maximum"
        marks = [f"share{self.share}"] * (self.share > 0) + ["ordered"] * self.ordered
        marks += [f"lead{self.lead}"] * (self.lead > 0)
        return "-".join([self.engine, self.shape, softmax, *marks])

    @property
    def options(self) -> Options:
        """Of a Gluon variant."""
        import gluon_run  # late: Triton is not everywhere

        return gluon_run.Options(
            bounded=self.bounded, share=self.share, ordered=self.ordered, lead=self.lead
        )


VARIANTS = [
    Variant("gluon", "D"),
    Variant("torch"),
    Variant("gluon", "D", ordered=True, lead=2),
    Variant("gluon", "C"),
    Variant("gluon", "C", share=4, ordered=True, lead=2),
    Variant("gluon", "E", ordered=True, lead=2),
    Variant("gluon", "D", lead=2),
    Variant("gluon", "C", share=4),
    Variant("gluon", "E"),
    Variant("gluon", "D", bounded=False),
    Variant("gluon", "C", bounded=False),
]
NAMED = {variant.name: variant for variant in VARIANTS}


def measure(variant: Variant) -> dict[str, Any]:
    """In this process, on the GPU."""
    from gluon_graph import SHAPES

    if variant.engine == "gluon":
        import gluon_run

        shape = SHAPES[variant.shape]
        return gluon_run.measure(shape, variant.options, layers=LAYERS, each=EACH)
    import gluon_torch

    times = {name: gluon_torch.torch_times(shape) for name, shape in SHAPES.items()}
    return times | {"ceiling_tflops": gluon_torch.ceiling()}


def warm_up(variant: Variant) -> dict[str, Any]:
    """Compile into Triton's cache, in this process, on the GPU."""
    from gluon_graph import SHAPES

    if variant.engine == "gluon":
        import gluon_run

        gluon_run.warm_up(SHAPES[variant.shape], variant.options)
    return {}


def compiled(variant: Variant) -> dict[str, Any]:
    """Registers, spills, shared memory and machine instructions, for `sm_90a`, without a GPU."""
    import triton
    from gluon_graph import SHAPES, Places
    from gluon_kernel import tiles_kernel
    from gluon_run import constants
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource
    from triton.experimental.gluon.language import NVMMASharedLayout

    def tiles(rows: int) -> str:
        return f"tensordesc<bf16[{rows}, 64],{NVMMASharedLayout(128, 16, rank=2)!r}>"

    types = dict.fromkeys(("table", "starts", "counters", "error"), "*i32")
    types |= {"stamps": "*i64", "sums": "*fp32", "control": "*fp32", "limit": "i32"}
    types |= {"tiles": tiles(128), "small": tiles(64), "tails": tiles(16)}
    types |= {"wide": tiles(256), "narrow": tiles(128)}
    names = tiles_kernel.arg_names
    fixed = constants(Places(SHAPES[variant.shape], LAYERS), variant.options)
    source = GluonASTSource(
        fn=tiles_kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(names)
            if types.get(name, "").startswith("*")
        },
    )
    begin = time.monotonic()
    launch = {"num_warps": 4, "launch_cooperative_grid": True}
    made: Any = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=launch)
    report = {"seconds": round(time.monotonic() - begin, 1), "shared": made.metadata.shared}
    return report | _assembled(made.asm["ptx"], made.asm["cubin"])


def _assembled(ptx: str, cubin: bytes) -> dict[str, Any]:
    """What ptxas says, and counts of machine instructions."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "k.ptx"), Path(folder, "k.cubin")
        source.write_text(ptx)
        binary.write_bytes(cubin)
        ptxas = [knobs.nvidia.ptxas.path, "-v", "--gpu-name=sm_90a", str(source), "-o", os.devnull]
        said = subprocess.run(ptxas, capture_output=True, text=True, check=True).stderr
        nvdisasm = [knobs.nvidia.nvdisasm.path, "-c", str(binary)]
        code = subprocess.run(nvdisasm, capture_output=True, text=True, check=True).stdout
    spills = re.search(r"(\d+) bytes spill stores", said)
    at_entry = re.search(r"Used (\d+) registers", said)
    used = [int(number) for number in re.findall(r"\bR(\d+)\b", code)]
    return {
        "registers": int(at_entry.group(1)) if at_entry else None,
        "highest_register": max(used),
        "spilled_bytes": int(spills.group(1)) if spills else None,
        "warnings": [line for line in said.splitlines() if "C75" in line or "serializ" in line],
        "instructions": {word: len(re.findall(re.escape(word) + r"\b", code)) for word in COUNTED},
    }


ACTIONS: dict[str, Callable[[Variant], dict[str, Any]]] = {
    "measure": measure,
    "warm_up": warm_up,
    "compiled": compiled,
}


def apart(action: str, variant: Variant, limit_s: float) -> dict[str, Any]:
    """Run an action in a process of its own; what it found, or how it failed."""
    command = [sys.executable, __file__, "--run", action, variant.name]
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {limit_s:.0f} s"}
    seconds = round(time.monotonic() - begin, 1)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-12:]
        return {"failed": "\n".join(last)[-1500:], "process_s": seconds}
    return json.loads(lines[-1]) | {"process_s": seconds}


def main() -> int:
    """All variants; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("ACTION", "VARIANT"), help="in this process")
    parser.add_argument("--compile", action="store_true", help="only compile; needs no GPU")
    parser.add_argument("--only", nargs="*", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--json", metavar="FILE", help="write the results to a file")
    parser.add_argument("--limit", type=float, default=25, metavar="S", help="of a measurement")
    parser.add_argument("--budget", type=float, default=150, metavar="S", help="of everything")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(ACTIONS[args.run[0]](NAMED[args.run[1]])))
        return 0
    chosen = [NAMED[name] for name in args.only]
    results: dict[str, Any] = {}
    begin = time.monotonic()

    def keep(variant: Variant, found: dict[str, Any]) -> None:
        results[variant.name] = found
        print(variant.name, json.dumps(found), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(results, indent=1))

    workers = min(16, os.cpu_count() or 1)
    if args.compile:
        for variant in chosen:
            if variant.engine == "gluon":
                keep(variant, apart("compiled", variant, 300))
        return int(any("failed" in found for found in results.values()))
    with ThreadPoolExecutor(workers) as pool:
        warm = dict(zip(chosen, pool.map(lambda v: apart("warm_up", v, 60), chosen), strict=True))
    for variant, found in warm.items():
        if "failed" in found:
            print("warm-up of", variant.name, found["failed"], flush=True)
    for variant in chosen:
        left = args.budget - (time.monotonic() - begin)
        late = {"failed": "no time was left"}
        keep(variant, apart("measure", variant, min(args.limit, left)) if left > 5 else late)
    return int(any("failed" in found for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
