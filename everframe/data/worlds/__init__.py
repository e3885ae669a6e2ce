"""Procedural worlds: one scene and one camera path, rendered in two dresses."""

from everframe.data.worlds.world import DRESSES, SOURCE_NAMES, Dress, WorldBatch, Worlds

__all__ = ["DRESSES", "SOURCE_NAMES", "Dress", "WorldBatch", "Worlds"]
