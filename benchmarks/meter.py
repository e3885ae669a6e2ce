"""Can the network tell how wrong its history is? A linear probe on its tokens, and a plain rule.

    python benchmarks/meter.py pocket --out benchmarks/results/meter_pocket.json

For each patch the truth is `log(1 + 20 mean |h - h*|)`, `h` the own previous frame in 0..1 and
`h*` its target. The probe is fitted by ridge regression on training clips (damaged history and own
rollouts) and judged on own rollouts of held-out clips: rank correlation over frames of all looks,
of one look, and over the patches of a frame. The rule compares the new frame with the previous one
where the camera stands still. Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.arch.bundle import Bundle
from everframe.arch.history import ClipMemory
from everframe.arch.model import embed, head, prepare_control, transformer_block
from everframe.arch.ops import scope
from everframe.arch.torch_net import Net, table_tensors
from everframe.arch.torch_ops import TorchOps
from everframe.core.config import override
from everframe.core.rng import numpy_rng
from everframe.data.batch import ClipBatch
from everframe.data.catalogue import Catalogue
from everframe.data.held_out import HeldOut, Streams
from everframe.recipes.configs import HELD_OUT, pocket
from everframe.recipes.training import build_sources
from everframe.text.encoder import TextEncoder
from everframe.train.rollouts import LongClips, from_u8, run_live
from everframe.train.step import ClipInputs, codes_of, prepare, prepare_rollout, torch_step_features

SIZE = (224, 288)
STILL = 3 / 255
"""A patch of the camera that changes by less, on average, stands still."""
RIDGE = 1e-2
FRAMES = 4
LENGTH = 100


@dataclass(slots=True)
class Sums:
    """Normal equations of a ridge regression."""

    xx: Tensor
    xy: Tensor

    def add(self, x: Tensor, y: Tensor) -> None:
        """Rows [n, d] and values [n]."""
        x = F.pad(x.double(), (0, 1), value=1.0)
        self.xx += x.mT @ x
        self.xy += x.mT @ y.double()

    def solve(self) -> Tensor:
        """Weights [d + 1], the last one the bias."""
        scale = self.xx.diagonal().mean() * RIDGE
        eye = torch.eye(len(self.xx), dtype=self.xx.dtype, device=self.xx.device)
        return torch.linalg.solve(self.xx + scale * eye, self.xy)


def patch_mean(x: Tensor, patch: int) -> Tensor:
    """[B, T, C, H, W] -> [B, T, N]."""
    return (
        F.avg_pool2d(x.flatten(0, 1).mean(1, keepdim=True), patch).flatten(1).view(*x.shape[:2], -1)
    )


@torch.no_grad()
def tokens_of(net: Net, inputs: ClipInputs) -> tuple[list[Tensor], Tensor]:
    """Normed tokens [B, T, N, D] after each block, and the estimate [B, T, 3, H, W], at tau 0."""
    ops, params, spec = TorchOps(), net.params(), net.spec
    noise = torch.randn_like(inputs.frame.noisy[:, :1]).expand_as(inputs.frame.noisy)
    frame = replace(inputs.frame, noisy=noise)
    tables = table_tensors(spec, *frame.camera.shape[-2:], frame.camera.device)
    features = torch_step_features(torch.zeros_like(inputs.tau), inputs.size)
    control = prepare_control(ops, params, spec, codes_of(net, inputs), features)
    memory = ClipMemory(ops, frame.camera.shape[1])
    x = embed(ops, params, spec, frame, tables)
    found: list[Tensor] = []
    for i, block in enumerate(spec.blocks):
        c = (control.modulation[i], control.prompt_k[i], control.prompt_v[i])
        x = transformer_block(ops, scope(params, f"blocks.{i}."), spec, block, x, c, tables, memory)
        found.append(ops.rms_norm(x).float())
    return found, head(ops, params, spec, x, frame, control, tables).float()


def wrongness(previous: Tensor, truth: Tensor, patch: int) -> Tensor:
    """[B, T, N] from frames in -1..1."""
    return torch.log1p(20 * patch_mean((previous - truth).abs() / 2, patch))


def training_inputs(
    net: Net, footage: str, batches: int, device: torch.device
) -> Iterator[tuple[ClipInputs, Tensor]]:
    """Clips with damaged history and clips with own history, half each, and the true history."""
    config = override(pocket(), [f"footage={footage}", "worlds=0", "mixture.group=2"])
    config = replace(config, cold_share=0.0, no_previous_share=0.0)
    sources = build_sources(config, device, TextEncoder.load())
    for step in range(batches):
        rng = numpy_rng(1, "meter", step)
        generator = torch.Generator(device).manual_seed(step)
        if step % 2:
            drawn = sources.long.draw(step, 6, 16, SIZE, rng, generator)
            long = LongClips.of(drawn)
            own = run_live(net, long, generator)
            yield own_inputs(long, own, int(rng.integers(1, 16 - FRAMES)))
        else:
            batch = sources.mixture.draw(step, 6, FRAMES, SIZE, rng, generator)
            yield prepare(batch, net.spec.patch, config, generator), batch.before


def fit(net: Net, footage: str, batches: int, device: torch.device) -> list[Tensor]:
    """A probe per block."""
    width = net.spec.width + 1
    sums = [
        Sums(
            *(
                torch.zeros(s, dtype=torch.float64, device=device)
                for s in ((width, width), (width,))
            )
        )
        for _ in net.spec.blocks
    ]
    for inputs, truth in training_inputs(net, footage, batches, device):
        found, _ = tokens_of(net, inputs)
        y = wrongness(inputs.frame.previous, truth, net.spec.patch).flatten()
        for one, x in zip(sums, found, strict=True):
            one.add(x.flatten(0, 2), y)
    return [one.solve() for one in sums]


def held_out_clips(streams: Streams) -> LongClips:
    """Held-out streams as clips to be run live."""
    count = len(streams.labels)
    turned = [*range(streams.camera.shape[1]), *range(streams.camera.shape[1] - 2, 0, -1)]
    order = [turned[t % len(turned)] for t in range(LENGTH)]
    return LongClips(
        camera=streams.camera[:, order],
        target=streams.target[:, order],
        anchor_output=streams.target[:, 0],
        anchor_camera=streams.camera[:, 0],
        states=streams.states[:, None].expand(-1, 2, -1, -1),
        mask=streams.mask[:, None].expand(-1, 2, -1),
        blend=torch.zeros(count, device=streams.camera.device),
        label=torch.from_numpy(streams.labels).to(streams.camera.device),
        hidden=torch.from_numpy(streams.hidden.astype(np.float32)).to(streams.camera.device),
    )


def ranks(x: np.ndarray) -> np.ndarray:
    """Rank of each value."""
    return np.argsort(np.argsort(x)).astype(float)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def judge(
    net: Net, probes: list[Tensor], footage: Path, device: torch.device, clips: int
) -> dict[str, dict[str, float]]:
    """Correlations of every probe and of the rule, on own rollouts of held-out clips."""
    catalogue = Catalogue()
    held = HeldOut(footage, HELD_OUT[:clips], catalogue, device)
    labels = list(range(0, len(catalogue.flat), 2))
    long = held_out_clips(held.streams(SIZE, TextEncoder.load(), labels))
    guesses: dict[str, list[np.ndarray]] = {}
    truths: list[np.ndarray] = []
    looks: list[np.ndarray] = []
    patch = net.spec.patch
    for part in range(0, len(long.label), 8):
        some = rows_of(long, slice(part, part + 8))
        own = run_live(net, some, torch.Generator(device).manual_seed(part))
        for begin in (5, 30, 60, LENGTH - FRAMES):
            inputs, truth = own_inputs(some, own, begin)
            found, made = tokens_of(net, inputs)
            previous = inputs.frame.previous
            truths.append(wrongness(previous, truth, patch).cpu().numpy())
            looks.append(some.label.cpu().numpy())
            for i, (probe, x) in enumerate(zip(probes, found, strict=True)):
                guess = x.double() @ probe[:-1] + probe[-1]
                guesses.setdefault(f"probe, block {i}", []).append(guess.cpu().numpy())
            before = from_u8(some.camera[:, begin - 1 : begin - 1 + FRAMES])
            moved = patch_mean((inputs.frame.camera - before).abs() / 2, patch)
            change = patch_mean((made.clamp(-1, 1) - previous).abs() / 2, patch)
            rule = (change * (moved < STILL)).cpu().numpy()
            guesses.setdefault("rule", []).append(rule)
    truth_all, looks_all = np.concatenate(truths), np.concatenate(looks)
    return {n: correlations(np.concatenate(v), truth_all, looks_all) for n, v in guesses.items()}


def rows_of(long: LongClips, rows: slice) -> LongClips:
    """Some of the streams."""
    return LongClips(
        camera=long.camera[rows],
        target=long.target[rows],
        anchor_output=long.anchor_output[rows],
        anchor_camera=long.anchor_camera[rows],
        states=long.states[rows],
        mask=long.mask[rows],
        blend=long.blend[rows],
        label=long.label[rows],
        hidden=long.hidden[rows],
    )


def own_inputs(long: LongClips, own: Tensor, begin: int) -> tuple[ClipInputs, Tensor]:
    """What the network sees at `FRAMES` frames of live streams, and the true history."""
    times, before = slice(begin, begin + FRAMES), slice(begin - 1, begin - 1 + FRAMES)
    batch = ClipBatch(
        camera=from_u8(long.camera[:, times]),
        target=from_u8(long.target[:, times]),
        before=from_u8(own[:, before]),
        anchor_output=from_u8(own[:, 0]),
        anchor_camera=from_u8(long.camera[:, 0]),
        states=long.states,
        mask=long.mask,
        blend=long.blend[:, None].expand(-1, FRAMES),
        label=long.label,
        hidden=long.hidden,
    )
    inputs = prepare_rollout(batch, pocket(), torch.Generator(own.device).manual_seed(0))
    return inputs, from_u8(long.target[:, before])


def correlations(guess: np.ndarray, truth: np.ndarray, looks: np.ndarray) -> dict[str, float]:
    """Over frames of all looks, over frames of one look (mean), over the patches of a frame (mean);
    arrays [streams, T, N].
    """
    a, b = guess.mean(-1), truth.mean(-1)
    within = [
        rank_correlation(a[looks == look].ravel(), b[looks == look].ravel())
        for look in np.unique(looks)
    ]
    patches = [
        rank_correlation(x, y) for x, y in zip(guess.reshape(-1, guess.shape[-1]),
                                               truth.reshape(-1, truth.shape[-1]), strict=True)
    ]  # fmt: skip
    return {
        "frames": round(rank_correlation(a.ravel(), b.ravel()), 3),
        "frames of one look": round(float(np.mean(within)), 3),
        "patches of a frame": round(float(np.nanmean(patches)), 3),
    }


def main() -> None:
    """Fit, judge, write."""
    parser = argparse.ArgumentParser(description="A probe for wrong history.")
    parser.add_argument("model", nargs="?", default="pocket")
    parser.add_argument("--footage", default="examples/footage")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bundle = Bundle.from_pretrained(args.model)
    net = Net(bundle.spec)
    net.load_arrays(bundle.weights)
    net = net.to(device)
    probes = fit(net, args.footage, args.batches, device)
    result = judge(net, probes, Path(args.footage), device, args.clips)
    for name, row in result.items():
        print(f"{name:16}", "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    report = {
        "command": f"python benchmarks/meter.py {args.model} --batches {args.batches}",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "hardware": gpu or platform.machine(),
        "model": dict(bundle.meta),
        "rank_correlation": result,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
