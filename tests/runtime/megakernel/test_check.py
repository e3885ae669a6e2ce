"""Spoilt schedules are refused, each for its reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from everframe.diffusion.programs import step_program
from everframe.runtime.megakernel.check import ScheduleError, check_schedule, check_shared_memory
from everframe.runtime.megakernel.isa import Instruction, Opcode, Read, Region
from everframe.runtime.megakernel.lower import lower
from everframe.runtime.megakernel.plan import FramePlan
from everframe.runtime.megakernel.recognise import plan_frame
from everframe.runtime.megakernel.schedule import ORDERS, Schedule, schedule_tasks
from everframe.runtime.megakernel.tiles import Tiles
from tests.nets import UNEVEN

TILES = Tiles(rows=16, model_cols=32, up_cols=16, head_cols=32, keys=16, attend_parts=2)
SMS = 9
Change = Callable[[Instruction], Instruction]


def plan() -> FramePlan:
    return plan_frame(step_program(UNEVEN, 80, 112))


def good(steps: int = 2) -> Schedule:
    return schedule_tasks(lower(plan(), TILES, steps), SMS)


def first(schedule: Schedule, op: Opcode, *, where: Callable[[Instruction], bool]) -> int:
    instructions = schedule.graph.instructions
    return next(i for i, x in enumerate(instructions) if x.op == op and where(x))


def changed(schedule: Schedule, index: int, change: Change) -> Schedule:
    instructions = list(schedule.graph.instructions)
    instructions[index] = change(instructions[index])
    return replace(schedule, graph=replace(schedule.graph, instructions=tuple(instructions)))


def without_wait(stage: int) -> Change:
    def change(x: Instruction) -> Instruction:
        return replace(x, waits=tuple(w for w in x.waits if w.stage != stage))

    return change


def anything(_: Instruction) -> bool:
    return True


def test_the_schedule_of_the_lowering_is_accepted() -> None:
    check_schedule(good())


def test_rehearsals_wait_for_nothing_and_nobody_waits_for_them() -> None:
    tiles = replace(TILES, order=2, rehearsed=1)
    schedule = schedule_tasks(lower(plan(), tiles, 1), 132)
    check_schedule(schedule)
    graph = schedule.graph
    added = [i for i, x in enumerate(graph.instructions) if x.fields.get("rehearsal")]
    assert added
    assert all(
        not (x.waits or x.reads or x.writes) for x in map(graph.instructions.__getitem__, added)
    )
    counter = len(graph.totals) - 1
    assert all((x.signal == counter) == (i in added) for i, x in enumerate(graph.instructions))
    assert all(w.first + w.count <= counter for x in graph.instructions for w in x.waits)
    plain = schedule_tasks(lower(plan(), replace(tiles, rehearsed=0), 1), 132)
    assert [tuple(t for t in x if t not in added) for x in schedule.lists] == list(plain.lists)


@pytest.mark.parametrize("sms", [1, 9, 132])
@pytest.mark.parametrize("order", range(1, len(ORDERS)))
def test_schedules_by_readiness_are_accepted(order: int, sms: int) -> None:
    schedule = schedule_tasks(lower(plan(), replace(TILES, order=order), 2), sms)
    check_schedule(schedule)
    assert schedule.estimate_us > 0


@pytest.mark.parametrize(
    ("op", "stage"),
    [
        (Opcode.EMBED, 0),
        (Opcode.EMBED, 2),
        (Opcode.QKV, 0),
        (Opcode.ATTEND, 0),
        (Opcode.ATTEND, 1),
        (Opcode.ATTEND, 2),
        (Opcode.RESIDUAL, 0),
        (Opcode.UP, 0),
        (Opcode.HEAD, 0),
        (Opcode.CONV_IN, 1),
        (Opcode.CONV, 0),
        (Opcode.CONV_OUT, 1),
    ],
    ids=str,
)
def test_a_missing_wait_is_a_race(op: Opcode, stage: int) -> None:
    schedule = good()
    of_op = [
        i
        for i, x in enumerate(schedule.graph.instructions)
        if x.op == op and any(w.stage == stage for w in x.waits)
    ]
    some = of_op[:: max(1, len(of_op) // 8)]
    reasons = [refusal(changed(schedule, index, without_wait(stage))) for index in some]
    # a wait may be implied by the instructions before it in the list, but not all of them
    assert any(reason is not None for reason in reasons)
    assert all(reason in ("race", "unwritten", None) for reason in reasons)


def refusal(schedule: Schedule) -> str | None:
    """The first word of the refusal, None if there is none."""
    try:
        check_schedule(schedule)
    except ScheduleError as error:
        return str(error).partition(":")[0]
    return None


def test_a_late_wait_does_not_cover_an_early_read() -> None:
    schedule = good()
    index = first(schedule, Opcode.ATTEND, where=anything)

    def early(x: Instruction) -> Instruction:
        return replace(x, reads=tuple(Read(r.region, 0) for r in x.reads))

    with pytest.raises(ScheduleError, match=r"race: .*attend.* reads"):
        check_schedule(changed(schedule, index, early))


def test_an_unwritten_read_is_named() -> None:
    schedule = good()
    index = first(schedule, Opcode.UP, where=anything)

    def wider(x: Instruction) -> Instruction:
        never = Read(Region("attend.0", 31, 35, 0, 1))
        return replace(x, reads=(*x.reads, never))

    fewer = replace(schedule.graph, buffers={**schedule.graph.buffers, "attend.0": (35, 99)})
    wrong = Region("attend.0", 31, 35, 90, 99)
    spoilt = changed(replace(schedule, graph=fewer), index, wider)
    spoilt = changed(spoilt, index, lambda x: replace(x, reads=(*x.reads[:-1], Read(wrong))))
    with pytest.raises(ScheduleError, match=r"unwritten: .*up.* 36 numbers were never written"):
        check_schedule(spoilt)


def test_two_writers_at_once_are_a_race() -> None:
    schedule = good()
    index = first(schedule, Opcode.HEAD, where=anything)

    def wider(x: Instruction) -> Instruction:
        rows, cols = schedule.graph.buffers["head"]
        return replace(x, writes=(Region("head", 0, rows, 0, cols),))

    with pytest.raises(ScheduleError, match=r"race: .*head.*(overwrites|reads)"):
        check_schedule(changed(schedule, index, wider))


def test_a_write_over_what_is_still_read_is_a_race() -> None:
    """Keys of two attentions in a row in one scratch: the buffers must alternate."""
    schedule = schedule_tasks(lower(plan(), TILES, 2), 132)
    instructions = tuple(
        replace(
            x,
            reads=tuple(Read(one_scratch(r.region), r.stage) for r in x.reads),
            writes=tuple(one_scratch(w) for w in x.writes),
        )
        for x in schedule.graph.instructions
    )
    spoilt = replace(schedule, graph=replace(schedule.graph, instructions=instructions))
    with pytest.raises(ScheduleError, match=r"race: .* kv.0\["):
        check_schedule(spoilt)


def one_scratch(region: Region) -> Region:
    return replace(region, buffer="kv.0") if region.buffer == "kv.1" else region


def test_a_wait_that_is_never_served_is_a_deadlock() -> None:
    schedule = good()
    index = first(schedule, Opcode.UP, where=anything)

    def more(x: Instruction) -> Instruction:
        return replace(x, waits=tuple(replace(w, target=w.target + 1) for w in x.waits))

    with pytest.raises(ScheduleError, match=r"deadlock: .*up.* waits for"):
        check_schedule(changed(schedule, index, more))


def test_a_wait_for_some_signals_is_refused() -> None:
    schedule = good()
    several = first(schedule, Opcode.UP, where=lambda x: x.waits[0].target > 1)

    def fewer(x: Instruction) -> Instruction:
        return replace(x, waits=tuple(replace(w, target=w.target - 1) for w in x.waits))

    with pytest.raises(ScheduleError, match="cannot know which"):
        check_schedule(changed(schedule, several, fewer))


def test_a_list_in_the_wrong_order_is_a_deadlock() -> None:
    schedule = good()
    spoilt = replace(schedule, lists=tuple(tasks[::-1] for tasks in schedule.lists))
    with pytest.raises(ScheduleError, match="deadlock: 9 multiprocessors wait for ever"):
        check_schedule(spoilt)


def test_an_instruction_runs_once() -> None:
    schedule = good()
    lists = (schedule.lists[0][1:], *schedule.lists[1:])
    with pytest.raises(ScheduleError, match="scheduled 0 times"):
        check_schedule(replace(schedule, lists=lists))
    lists = ((*schedule.lists[0], schedule.lists[1][0]), *schedule.lists[1:])
    with pytest.raises(ScheduleError, match="scheduled 2 times"):
        check_schedule(replace(schedule, lists=lists))


def test_inputs_and_bounds_are_kept() -> None:
    schedule = good()
    index = first(schedule, Opcode.UNPACK, where=anything)

    def to_input(x: Instruction) -> Instruction:
        return replace(x, writes=(x.reads[0].region,))

    with pytest.raises(ScheduleError, match="writes to an input"):
        check_schedule(changed(schedule, index, to_input))

    def outside(x: Instruction) -> Instruction:
        return replace(x, writes=(replace(x.writes[0], row1=10_000),))

    with pytest.raises(ScheduleError, match="outside its buffer"):
        check_schedule(changed(schedule, index, outside))


def test_too_much_shared_memory() -> None:
    with pytest.raises(ScheduleError, match="use smaller tiles or fewer stages"):
        check_shared_memory(plan(), Tiles(rows=128, up_cols=128, model_cols=256, stages=5))
    check_shared_memory(plan(), TILES)


def test_the_schedule_is_deterministic() -> None:
    assert good().lists == good().lists
