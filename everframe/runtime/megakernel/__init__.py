"""The mega kernel: a whole frame, pixels to pixels, as one persistent launch (docs/megakernel.md)."""
