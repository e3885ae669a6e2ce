"""Looking at a run: autoregressive rollouts of held-out clips, figures and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from everframe.arch.history import History
from everframe.arch.torch_net import Net
from everframe.data.held_out import Streams
from everframe.diffusion.rollout import FIRST_STEPS, Roller
from everframe.train.rollouts import empty_history, make_roller


@dataclass(slots=True, kw_only=True)
class Rollout:
    """PSNR [frames, S] against the target, and frames kept for the sheet."""

    psnr: list[Tensor] = field(default_factory=list[Tensor])
    kept: dict[int, Tensor] = field(default_factory=dict[int, Tensor])


def first_history(net: Net, streams: Streams, seeded: bool) -> History[Tensor]:
    """Empty memory, or one whose previous frame and anchor are the true first frame."""
    s, _, height, width, _ = streams.camera.shape
    history = empty_history(net, s, height, width, streams.camera.device)
    if not seeded:
        return history
    first = streams.target[:, 0]
    history = replace(history, previous=first, has_previous=True)
    return history.anchored(output=first, camera=streams.camera[:, 0])


def psnr_u8(a: Tensor, b: Tensor) -> Tensor:
    """[S] in dB from uint8 frames [S, H, W, 3]."""
    error = (a.float() - b.float()).square().mean((1, 2, 3))
    return 10 * torch.log10(255**2 / error.clamp(min=0.01))


MakeRoller = Callable[[Net, Tensor, int, int], Roller[Tensor]]


@torch.no_grad()
def roll_out(
    net: Net,
    streams: Streams,
    *,
    frames: int,
    steps: int,
    seeded: bool,
    keep: Sequence[int],
    make: MakeRoller = make_roller,
) -> Rollout:
    """`frames` own frames; the clip is played forth and back. Fixed noise per stream."""
    device = streams.camera.device
    s, length, height, width, _ = streams.camera.shape
    order = [*range(length), *range(length - 2, 0, -1)]
    generator = torch.Generator(device).manual_seed(11)
    noise = torch.randn((s, 3, height, width), device=device, generator=generator)
    roller = make(net, net.prompt_codes(streams.states, streams.mask), height, width)
    result = Rollout()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        offset = 1 if seeded else 0
        cameras = (streams.camera[:, order[(t + offset) % len(order)]] for t in range(frames))
        history = first_history(net, streams, seeded)
        run = roller.run(history, cameras, noise, steps=steps, first_steps=FIRST_STEPS)
        for t, frame in enumerate(run):
            truth = streams.target[:, order[(t + offset) % len(order)]]
            result.psnr.append(psnr_u8(frame, truth))
            if t in keep:
                result.kept[t] = torch.stack([frame, truth], 1).cpu()
    return result


def figures(result: Rollout, streams: Streams, at: Sequence[int]) -> dict[str, float]:
    """Mean PSNR of plain and of hidden looks around the frames `at`."""
    table = torch.stack(result.psnr).cpu().numpy()
    values: dict[str, float] = {}
    for frame in at:
        window = table[max(0, frame - 5) : frame + 5].mean(0)
        for name, choice in (("plain", ~streams.hidden), ("hidden", streams.hidden)):
            if choice.any():
                values[f"{name}@{frame}"] = round(float(window[choice].mean()), 2)
    return values


def sheet(result: Rollout, streams: Streams, names: Sequence[str], rows: int = 40) -> Image.Image:
    """Rows of [camera, then own and true frame at each kept time], labelled."""
    s, _, height, width, _ = streams.camera.shape
    kept = sorted(result.kept)
    picks = np.linspace(0, s - 1, min(rows, s)).astype(int)
    cell = (width * 3 // 4, height * 3 // 4)
    sheet_size = (cell[0] * (1 + 2 * len(kept)), cell[1] * len(picks))
    image = Image.new("RGB", sheet_size)
    pen = ImageDraw.Draw(image)
    table = torch.stack(result.psnr).cpu().numpy()
    for r, pick in enumerate(picks):
        cells = [streams.camera[pick, 1].cpu()]
        cells += [result.kept[t][pick, side] for t in kept for side in (0, 1)]
        for c, pixels in enumerate(cells):
            tile = Image.fromarray(pixels.numpy()).resize(cell)
            image.paste(tile, (c * cell[0], r * cell[1]))
        text = " ".join(f"{t}:{table[t, pick]:.1f}" for t in kept)
        pen.text((3, r * cell[1] + 3), names[int(streams.labels[pick])], fill=(255, 255, 0))
        pen.text((3, r * cell[1] + 15), text, fill=(255, 255, 0))
    return image
