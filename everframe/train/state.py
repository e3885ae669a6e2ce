"""`TrainState`: all that a run needs to go on exactly where it stopped. Private to training."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everframe.arch.torch_net import Net
from everframe.core.errors import UserError
from everframe.train.optim import Ema, Muon, adamw
from everframe.train.rollouts import Rolled

STATE_FILE = "state.pt"


@dataclass(slots=True, kw_only=True)
class TrainState:
    """Network, average, optimisers, and how far the run is."""

    net: Net
    ema: Ema
    muon: Muon
    adamw: torch.optim.AdamW
    step: int = 0
    frames: int = 0
    elapsed_s: float = 0.0
    rolled: Rolled | None = None

    @property
    def params(self) -> list[Tensor]:
        """All weights in the order of the weight table."""
        return list(self.net.values)

    def ema_arrays(self) -> dict[str, Any]:
        """Averaged weights as float32 arrays."""
        pairs = zip(self.net.names, self.ema.values, strict=True)
        return {name: value.detach().float().cpu().numpy() for name, value in pairs}

    def save(self, folder: Path, config_hash: str) -> None:
        """Write atomically to `folder/state.pt`."""
        folder.mkdir(parents=True, exist_ok=True)
        data = {
            "config": config_hash,
            "step": self.step,
            "frames": self.frames,
            "elapsed_s": self.elapsed_s,
            "net": [p.detach() for p in self.params],
            "ema": self.ema.values,
            "muon": self.muon.state(),
            "adamw": self.adamw.state_dict(),
            "rolled": asdict(self.rolled) if self.rolled else None,
        }
        temporary = folder / (STATE_FILE + ".part")
        torch.save(data, temporary)
        os.replace(temporary, folder / STATE_FILE)

    def load(self, folder: Path, config_hash: str) -> bool:
        """Resume from `folder` if it holds a state; returns whether it did.

        Raises:
            UserError: the state belongs to another configuration.
        """
        path = folder / STATE_FILE
        if not path.exists():
            return False
        device = self.params[0].device
        data = torch.load(path, map_location=device, weights_only=True)
        if data["config"] != config_hash:
            raise UserError(
                f"{path} belongs to a run with another configuration; "
                "choose another output folder, or remove this one"
            )
        with torch.no_grad():
            for mine, saved in zip(self.params, data["net"], strict=True):
                mine.copy_(saved)
            for mine, saved in zip(self.ema.values, data["ema"], strict=True):
                mine.copy_(saved)
        self.muon.load_state(data["muon"])
        self.adamw.load_state_dict(data["adamw"])
        self.step, self.frames = int(data["step"]), int(data["frames"])
        self.elapsed_s = float(data["elapsed_s"])
        rolled = data["rolled"]
        self.rolled = Rolled(**rolled) if rolled else None
        return True


def new_state(net: Net, lr_adamw: float, ema_decay: float) -> TrainState:
    """Fresh optimisers around a network."""
    hidden = [v for v, h in zip(net.values, net.hidden, strict=True) if h]
    others = [v for v, h in zip(net.values, net.hidden, strict=True) if not h]
    return TrainState(
        net=net,
        ema=Ema(list(net.values), ema_decay),
        muon=Muon(hidden),
        adamw=adamw(others, lr_adamw),
    )
