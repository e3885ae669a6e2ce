"""The mega kernel: a whole frame, pixels to pixels, in one launch (docs/megakernel.md)."""
