"""torch.compile's max-autotune mode on a shape, in a process of its own (`torch_bench`): `python -m
everframe.runtime.torch_autotune SHAPE` prints the milliseconds of each frame as JSON.
"""

import json
import sys

import torch

from everframe.diffusion.frame_step import denoise_step
from everframe.runtime.torch_bench import bench_stream, captured, device_ms
from everframe.runtime.torch_engine import torch_engine
from everframe.runtime.torch_shapes import bundle_of

if __name__ == "__main__":
    bundle, size = bundle_of(sys.argv[1])
    engine = torch_engine(bundle, *size, "bfloat16", compiled=False)
    engine.denoise = torch.compile(denoise_step, dynamic=False, mode="max-autotune-no-cudagraphs")
    sys.stdout.write(json.dumps(device_ms(captured(bench_stream(engine)))) + "\n")
