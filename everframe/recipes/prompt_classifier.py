"""Which look does a prompt mean? Multinomial logistic regression on text vectors, for
`stream.opening`.

Fitted to the training prompts of all looks and to two templated variants of each; it starts from,
and is drawn towards, the mean vectors. Strength and templates were chosen by cross-validation on
training prompts alone (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from everframe.core.rng import numpy_rng
from everframe.data.catalogue import Catalogue
from everframe.data.prompts import Encodes
from everframe.stream.opening import SHARPNESS

PULL_TO_MEANS = 1e-3
VARIANTS = 2
TEMPLATES = (
    "make it look like {}",
    "{} style",
    "in the style of {}",
    "turn this into {}",
    "i want {}",
    "{}, please",
    "show me as {}",
    "give me {}",
    "{} effect",
    "{} look",
    "a video in {}",
    "can you do {}",
)

Floats = NDArray[np.float32]


def unit(vector: NDArray[np.floating]) -> Floats:
    """Scaled to length 1."""
    return (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)


def mean_vectors(catalogue: Catalogue, encoder: Encodes) -> Floats:
    """[n, 384]: the direction of each look's training prompts."""
    means = [
        np.mean([unit(_pooled(encoder, text)) for text in catalogue.prompts(label)], axis=0)
        for label in range(len(catalogue.names))
    ]
    return np.stack([unit(mean) for mean in means])


def fit(catalogue: Catalogue, encoder: Encodes, means: Floats) -> tuple[Floats, Floats]:
    """Weights [n, 384] and biases [n] of a look's logit, `SHARPNESS * w . u + b`, u a unit text
    vector.
    """
    rng = numpy_rng(0, "prompt classifier")
    texts: list[str] = []
    labels: list[int] = []
    for label in range(len(catalogue.names)):
        for text in catalogue.prompts(label):
            chosen = rng.permutation(len(TEMPLATES))[:VARIANTS]
            texts += [text, *(TEMPLATES[i].format(text) for i in chosen)]
            labels += [label] * (1 + VARIANTS)
    return regression(np.stack([unit(_pooled(encoder, t)) for t in texts]), labels, means)


def regression(x: Floats, labels: Sequence[int], means: Floats) -> tuple[Floats, Floats]:
    """Logistic regression from rows `x` [m, 384] to `labels`, see `fit`."""
    rows, truth, start = torch.from_numpy(x), torch.tensor(labels), torch.from_numpy(means)
    weights = start.clone().requires_grad_()
    bias = torch.zeros(len(means), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = SHARPNESS * rows @ weights.T + bias
        apart = (weights - start).square().sum()
        loss = F.cross_entropy(logits, truth) + PULL_TO_MEANS * apart
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        return loss

    optimiser.step(closure)  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
    return weights.detach().numpy(), bias.detach().numpy()


def _pooled(encoder: Encodes, text: str) -> NDArray[np.floating]:
    return encoder.encode(text).pooled
