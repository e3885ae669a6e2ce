"""From clips and looks to batches of camera frames, prompts and targets."""
