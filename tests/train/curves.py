"""Reads event files as tensorboard does."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Value by step of every curve of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert isinstance(tags, list)
    return {tag: {point.step: point.value for point in events.Scalars(tag)} for tag in tags}
