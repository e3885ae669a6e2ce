"""The drift figure: likeness and picture statistics over frames, one line a stream."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from everframe.core.errors import UserError

PANELS = ("psnr", "luma", "saturation", "sharpness", "blockiness")
BINS = 200
"""Points of a line, evenly on a logarithmic axis."""


def plot_curves(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Write a PNG with the loops of `rows` (fixed noise: lines, fresh noise: dashed); nothing
    without loops.

    Raises `UserError` where matplotlib is missing.
    """
    curves = [row for row in rows if "curve" in row]
    if not curves:
        return
    try:
        from matplotlib.figure import Figure  # heavy, and only needed here
    except ImportError:
        raise UserError(
            "the drift plot needs matplotlib: pip install 'everframe[evaluate]'"
        ) from None
    figure = Figure(figsize=(9, 2.4 * len(PANELS)), layout="constrained")
    axes = figure.subplots(len(PANELS), 1, sharex=True, squeeze=False)[:, 0]
    looks = list(dict.fromkeys(row["look"] for row in curves))
    for row in curves:
        colour, style = f"C{looks.index(row['look']) % 10}", "--" if row["test"] == "fresh" else "-"
        for axis, name in zip(axes, PANELS, strict=True):
            curve = row["curve"]
            values = curve["psnr"] if name == "psnr" else curve["statistics"][name]
            x, y = smoothed(np.array(curve["at"]), np.array(values))
            axis.plot(x, y, style, color=colour, linewidth=1)
    for axis, name in zip(axes, PANELS, strict=True):
        axis.set_xscale("log")
        axis.set_ylabel("PSNR, dB" if name == "psnr" else f"{name} / target's")
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    for number, look in enumerate(looks):
        axes[0].plot([], [], color=f"C{number % 10}", label=look)
    axes[0].legend(fontsize=7, ncols=4)
    axes[-1].set_xlabel("frame")
    figure.savefig(path, dpi=110)


def smoothed(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over logarithmic bins of frames; empty bins are left out."""
    edges = np.geomspace(at[0], at[-1] + 1, BINS + 1)
    place = np.clip(np.digitize(at, edges) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    full = count > 0
    means = [np.bincount(place, x, minlength=BINS)[full] / count[full] for x in (at, values)]
    return means[0], means[1]
