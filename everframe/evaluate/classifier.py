"""The judge of prompts: a small network that names the look of an output frame.

It sees the output and the camera side by side, since many looks are judged against the camera. It
serves evaluation only and shares nothing with the model that it judges: another architecture,
another seed, no part in any training loss.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from everframe.core.errors import UserError
from everframe.core.rng import stream_seed

INPUT_PX = 128
WIDTHS = (24, 48, 80, 112, 128)
"""Channels of the five stages; each halves the resolution."""

NORM_GROUPS = 8
FORMAT = "everframe-look-classifier-1"
WARM_UP_SHARE = 0.1
LABEL_SMOOTHING = 0.05
NOISE_LIMIT = 0.04
EXPOSURE_LIMIT = 0.05
CLIP_NORM = 1.0
VARIANCE_FLOOR = 1e-4
CALM_SHARE = 0.5
"""Share of the training pictures shown as they are; the rest are blurred, noisy and shifted."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Camera [N, 3, H, W], target [N, 3, H, W], both 0..1, and label [N] int64."""


class LookClassifier(nn.Module):
    """Five strided convolutions, mean and spread over space, one linear layer; 0.28 M parameters.

    Mean and spread of the six input channels reach the last layer too, as the norms of the stages
    hide absolute colour. `labels[i]` names class i.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = tuple(labels)
        stages: list[nn.Module] = []
        channels = 6
        for width in WIDTHS:
            stages += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1),
                nn.GroupNorm(NORM_GROUPS, width),
                nn.SiLU(),
            ]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(2 * (channels + 6), len(self.labels))

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits [N, K] of pairs [N, 6, h, w]: output above camera, 0..1."""
        output, camera = pairs.split(3, 1)
        signed = torch.cat([output * 2 - 1, output - camera], 1)  # learns faster than the pair
        return self.head(torch.cat([_moments(self.stages(signed)), _moments(signed)], 1))

    @torch.inference_mode()
    def probabilities(self, output: Tensor, camera: Tensor) -> Tensor:
        """Class probabilities [N, K] of frames [N, 3, H, W], 0..1: the mean over several views."""
        device = self.head.weight.device
        seen = views(torch.cat([output, camera], 1).to(device))
        return torch.stack([self(view).softmax(1) for view in seen]).mean(0).cpu()

    def name(self, output: Tensor, camera: Tensor) -> list[str]:
        """The most likely look of each of N frames."""
        best = self.probabilities(output, camera).argmax(1)
        return [self.labels[int(index)] for index in best]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierTraining:
    """How a classifier is trained."""

    steps: int = 3000
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 7301


def views(pairs: Tensor) -> list[Tensor]:
    """The whole picture at 128 px, and four crops at full resolution, of pairs [N, 6, H, W].

    Large forms need the first, fine strokes and dots the others. A picture that is no larger than
    128 px a side gives the whole alone.
    """
    height, width = pairs.shape[-2:]
    seen = [whole_view(pairs)]
    if min(height, width) > INPUT_PX:
        for top in (0, height - INPUT_PX):
            for left in (0, width - INPUT_PX):
                seen.append(pairs[..., top : top + INPUT_PX, left : left + INPUT_PX])
    return seen


def whole_view(pairs: Tensor) -> Tensor:
    """The picture resized to 128x128, smoothed where it shrinks."""
    size = (INPUT_PX, INPUT_PX)
    return F.interpolate(pairs, size, mode="bilinear", antialias=True, align_corners=False)


def train_classifier(
    batches: Iterator[Batch],
    *,
    labels: Sequence[str],
    training: ClassifierTraining | None = None,
    device: str | torch.device = "cpu",
) -> LookClassifier:
    """Train on an endless iterator of (camera, target, label) and return the model, on `device`.

    Each batch is shown whole or as a crop, mirrored or not, half of it degraded, so that an
    imperfect output of the right look is not mistaken for another. AdamW, cosine schedule.
    """
    training = training or ClassifierTraining()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(training.seed, "look classifier weights"))
        model = LookClassifier(labels)
    model = model.to(device)
    generator = torch.Generator().manual_seed(stream_seed(training.seed, "look classifier views"))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    for step in range(training.steps):
        camera, target, label = next(batches)
        pairs = torch.cat([_degrade(target.to(device), generator), camera.to(device)], 1)
        logits = model(_random_view(pairs, generator))
        loss = F.cross_entropy(logits, label.to(device), label_smoothing=LABEL_SMOOTHING)
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * _schedule(step / training.steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimiser.step()
    return model.eval()


def save_classifier(model: LookClassifier, path: Path) -> None:
    """Write float16 weights and the labels (as JSON metadata) to one safetensors file, < 0.6 MB."""
    tensors = {name: t.detach().half().cpu().contiguous() for name, t in model.state_dict().items()}
    metadata = {"format": FORMAT, "labels": json.dumps(model.labels)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)


def load_classifier(path: Path, device: str | torch.device = "cpu") -> LookClassifier:
    """Read a classifier written by `save_classifier`; raises `UserError` for any other file."""
    if not path.is_file():
        raise UserError(
            f"no look classifier at {path}: give one with --classifier FILE, or leave the prompt "
            "numbers out with --without classifier"
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a look classifier: write it with save_classifier")
    model = LookClassifier(json.loads(metadata["labels"]))
    model.load_state_dict(tensors)
    return model.to(device).eval()


def _moments(features: Tensor) -> Tensor:
    """Mean and standard deviation over space, [N, 2 C]."""
    spread = (features.var((2, 3), unbiased=False) + VARIANCE_FLOOR).sqrt()
    return torch.cat([features.mean((2, 3)), spread], 1)


def _schedule(share: float) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if share < WARM_UP_SHARE:
        return (share + 1e-3) / WARM_UP_SHARE
    return 0.5 + 0.5 * math.cos(math.pi * (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))


def _random_view(pairs: Tensor, generator: torch.Generator) -> Tensor:
    """One view for the whole batch, mirrored every other time."""
    height, width = pairs.shape[-2:]
    whole, mirrored = torch.rand(2, generator=generator).lt(0.5).tolist()
    if whole or min(height, width) <= INPUT_PX:
        view = whole_view(pairs)
    else:
        top = int(torch.randint(height - INPUT_PX + 1, (), generator=generator))
        left = int(torch.randint(width - INPUT_PX + 1, (), generator=generator))
        view = pairs[..., top : top + INPUT_PX, left : left + INPUT_PX]
    return view.flip(3) if mirrored else view


def _degrade(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, noise and exposure of random strength, on about half of the pictures."""
    amount = torch.rand(4, len(pictures), 1, 1, 1, generator=generator).to(pictures.device)
    rough = F.interpolate(F.avg_pool2d(pictures, 2), pictures.shape[-2:], mode="bilinear")
    noise = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    worse = pictures + amount[0] * (rough - pictures) + NOISE_LIMIT * amount[1] * noise
    worse = (worse + EXPOSURE_LIMIT * (2 * amount[2] - 1)).clamp(0, 1)
    return torch.where(amount[3] < CALM_SHARE, pictures, worse)
