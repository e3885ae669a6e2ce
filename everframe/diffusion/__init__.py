"""How noise becomes a frame: the process, the denoiser, the step for one frame."""
