"""The restyled pictures as a camera of this machine, for video calls: v4l2loopback on Linux, OBS's
virtual camera on Windows and macOS, through pyvirtualcam.
"""

from __future__ import annotations

import logging
import time

import numpy as np
import pyvirtualcam

from everframe.core.errors import UserError
from everframe.serve.outgoing import FPS, Outgoing
from everframe.stream.resize import Size

log = logging.getLogger("everframe.serve")


class VirtualCamera(Outgoing):
    """A camera that other programs of this machine can choose."""

    def __init__(self, size: Size, device: str | None = None, backend: str | None = None) -> None:
        """Open it, so that a fault is told at once. `device`: its name or path; any, if None.

        Raises:
            UserError: there is no such device.
        """
        super().__init__("camera", size)
        try:
            self._camera = pyvirtualcam.Camera(
                self.size.width, self.size.height, FPS, device=device, backend=backend
            )
        except RuntimeError as error:
            reason = str(error).split(". ")[0]
            raise UserError(
                f"no virtual camera could be opened ({reason}). Linux: sudo modprobe v4l2loopback "
                "exclusive_caps=1; Windows and macOS: install OBS, which brings one"
            ) from None
        self.device: str = self._camera.device

    def run(self) -> None:
        """Show the newest picture 25 times a second until `stop`."""
        log.warning("virtual camera: %s", self.device)
        begin = time.monotonic()
        with self._camera as camera:
            while not self.over.is_set():
                camera.send(np.ascontiguousarray(self.newest()))
                self.frames += 1
                self.wait(begin, self.frames)
