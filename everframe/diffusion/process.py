"""How noise becomes a frame: levels, and the Euler update in terms of the clean estimate (equations
1-4).
"""

from __future__ import annotations

STEP_CHOICES = (1, 2, 4, 8)
"""Denoising steps per frame that the schedules know."""


def levels(steps: int) -> tuple[float, ...]:
    """Signal levels tau at which the network is asked, from 0 (noise) upwards, equally spaced."""
    return tuple(i / steps for i in range(steps))


def conditions(steps: int, step_sizes: bool) -> tuple[tuple[float, float], ...]:
    """(tau, d) that the network is told at each of `steps` equal steps: the signal level, and the
    step size, or 0 for a network that was not taught step sizes (`Spec.step_sizes`).
    """
    return tuple((tau, 1 / steps if step_sizes else 0.0) for tau in levels(steps))


def euler_coefficients(tau: float, step: float) -> tuple[float, float]:
    """(keep, move) of `z' = keep * z + move * x` for the step tau -> tau + step (equation 4).

    With v = (x - z) / (1 - tau) and z' = z + step * v. The last step has keep = 0 and move = 1.
    """
    move = step / (1.0 - tau)
    return 1.0 - move, move
