"""The picture of a timed launch."""

from pathlib import Path

import numpy as np
from PIL import Image

from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import schedule_tasks
from everframe.runtime.megakernel.tiles import Tiles
from everframe.runtime.megakernel.timeline import draw_timeline, estimated_stamps
from everframe.runtime.megakernel.tune import phase_lines, phases
from tests.nets import TINY


def test_a_launch_is_drawn(tmp_path: Path) -> None:
    plan = plan_frame(step_program(TINY, 64, 96))
    schedule = schedule_tasks(lower(plan, Tiles(), 1), 4)
    stamps = estimated_stamps(schedule)
    times = stamps.reshape(-1, 2)
    assert (times[:, 1] > times[:, 0]).all()
    assert times.max() == round(schedule.estimate_us * 1e3)
    for tasks in schedule.lists:  # one instruction at a time
        assert (times[tasks[1:], 0] >= times[tasks[:-1], 1]).all()
    rows = {row.name: row for row in phases(schedule, stamps)}
    assert next(iter(rows)).startswith("unpack")
    assert (rows["*.up"].blocks, rows["head"].blocks) == (2, 1)
    assert sum(row.blocks * row.tasks for row in rows.values()) == len(times)
    assert sum(row.blocks * row.share_us for row in rows.values()) <= schedule.estimate_us
    assert all(sorted(row.task_us) == list(row.task_us) for row in rows.values())
    assert len(phase_lines(schedule, stamps)) == 2 + len(rows)
    draw_timeline(schedule, stamps, tmp_path / "t.png", title="estimated")
    with Image.open(tmp_path / "t.png") as picture:
        colours = len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))
    assert colours > 10
