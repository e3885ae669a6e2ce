import pytest
import torch
from torch import Tensor

from everframe.core.errors import UserError
from everframe.data.worlds import DRESSES, SOURCE_NAMES, WorldBatch, Worlds
from everframe.data.worlds.biomes import BIOMES
from everframe.data.worlds.camera import pose
from everframe.data.worlds.march import FAR

H, W = 48, 64
NOW = torch.tensor([[0.0]])


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    torch.set_num_threads(1)
    return Worlds(H, W, "cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def palette(frames: Tensor) -> Tensor:
    """Mean colour of each frame, [..., 3]."""
    return frames.mean((-1, -2))


@pytest.mark.parametrize("biome", BIOMES)
def test_frames_have_the_promised_shape_and_range(worlds: Worlds, biome: str) -> None:
    batch = worlds.draw(2, seeded(1), biomes=[biome])
    source, target = worlds.render(batch, torch.tensor([[0.0], [-30.0]]))
    for frames in (source, target):
        assert frames.shape == (2, 1, 3, H, W)
        assert frames.dtype == torch.float32
        assert bool(torch.isfinite(frames).all())
        assert float(frames.min()) >= 0.0
        assert float(frames.max()) <= 1.0
    assert float((source - target).abs().mean()) > 0.02


def test_the_same_seed_gives_the_same_frames(worlds: Worlds) -> None:
    times = torch.tensor([[0.5]] * 3)
    first = worlds.render(worlds.draw(3, seeded(7)), times)
    again = worlds.render(worlds.draw(3, seeded(7)), times)
    other = worlds.render(worlds.draw(3, seeded(8)), times)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_a_stream_does_not_depend_on_its_neighbours(worlds: Worlds) -> None:
    one = worlds.draw(1, seeded(3))
    two = worlds.draw(2, seeded(3))
    alone = worlds.render(one, NOW)[1]
    together = worlds.render(two, NOW.expand(2, 1))[1]
    torch.testing.assert_close(alone[0], together[0], atol=1e-4, rtol=0.0)


def jump(frames: Tensor) -> Tensor:
    """Where neighbouring pixels differ, [H - 1, W]."""
    return (frames[0, 0, :, 1:] - frames[0, 0, :, :-1]).abs().amax(0)


def test_source_target_and_depth_share_their_geometry(worlds: Worlds) -> None:
    batch = worlds.draw(
        1, seeded(5), dresses=["toy_plastic"], sources=["flat_labels"], biomes=["table"]
    )
    source, target = worlds.render(batch, NOW)
    background, depth = worlds.render_background(batch, NOW)
    assert torch.equal(background, target)
    assert depth.shape == (1, 1, 1, H, W)
    assert 0.0 < float(depth.min()) < FAR
    step = (depth[0, 0, 0, 1:] - depth[0, 0, 0, :-1]).abs()
    # Objects only: the horizon melts into the backdrop on purpose.
    edge = (step > 0.25 * depth[0, 0, 0, 1:]) & (depth[0, 0, 0, 1:] < 20.0)
    assert int(edge.sum()) > 5
    for frames in (source, target):
        change = jump(frames)
        assert float(change[edge].mean()) > 2.0 * float(change[~edge].mean())


def with_dice(worlds: Worlds, name: str, biome: str, seed: int) -> WorldBatch:
    return worlds.draw(1, seeded(seed), dresses=[name], sources=["clay"], biomes=[biome])


HIDDEN = [dress for dress in DRESSES if dress.hidden]


def test_hidden_dresses_differ_between_streams_and_stay_within_one(worlds: Worlds) -> None:
    assert len(HIDDEN) >= 6
    small = Worlds(24, 32, "cpu")
    for dress in HIDDEN:
        first = with_dice(worlds, dress.name, dress.biomes[0], 11)
        other = with_dice(worlds, dress.name, dress.biomes[0], 12)
        # The other stream's clothes on the first stream's world and path.
        swapped = WorldBatch(
            geometry=first.geometry, camera=first.camera, light=first.light, source=first.source,
            target=other.target, biome=first.biome, source_tables=first.source_tables,
            target_tables=other.target_tables,
        )  # fmt: skip
        source, target = small.render(first, torch.tensor([[0.0, 0.04]]))
        source_again, recoloured = small.render(swapped, torch.tensor([[0.0, 0.04]]))
        assert torch.equal(source, source_again)
        between = (palette(target[0, 0]) - palette(recoloured[0, 0])).abs().max()
        within = (palette(target[0, 0]) - palette(target[0, 1])).abs().max()
        assert float(between) > 3.0 * float(within) + 0.01, dress.name


def test_plain_dresses_have_the_same_tables_in_every_stream(worlds: Worlds) -> None:
    for dress in DRESSES:
        if not dress.hidden:
            batch = worlds.draw(3, seeded(2), dresses=[dress.name], biomes=[dress.biomes[0]])
            table, air = batch.target_tables
            assert torch.equal(table[0], table[1])
            assert torch.equal(air[0], air[2])


def test_cameras_move_smoothly_at_any_time(worlds: Worlds) -> None:
    batch = worlds.draw(48, seeded(4))
    for start in (-90.0, 0.0, 90.0):
        times = start + torch.arange(25).reshape(1, -1) / 25.0
        path = pose(batch.camera, batch.geometry, times.expand(48, -1))
        speed = path.origin.diff(dim=1).norm(dim=-1) * 25.0
        turn = path.forward.diff(dim=1).norm(dim=-1) * 25.0
        assert float(speed.max()) < 6.0
        assert float(turn.max()) < 1.5
        assert float(turn.diff(dim=1).abs().max()) < 0.1
        unit = path.forward.norm(dim=-1)
        torch.testing.assert_close(unit, torch.ones_like(unit), atol=1e-4, rtol=0.0)


def test_frames_change_little_from_one_to_the_next(worlds: Worlds) -> None:
    batch = worlds.draw(2, seeded(21), sources=["day"])
    _, target = worlds.render(batch, torch.tensor([[2.0, 2.04, 2.5]] * 2))
    near = (target[:, 0] - target[:, 1]).abs().mean()
    later = (target[:, 0] - target[:, 2]).abs().mean()
    assert float(near) < 0.5 * float(later)


def test_prompts_are_many_unique_and_in_range() -> None:
    lines = [line for dress in DRESSES for line in (*dress.prompts, *dress.held_out)]
    assert len({line.lower() for line in lines}) == len(lines)
    assert len(DRESSES) >= 18
    for dress in DRESSES:
        assert len(dress.prompts) >= 12
        assert len(dress.held_out) == 3
        assert set(dress.biomes) <= set(BIOMES)
    for line in lines:
        assert 1 < len(line.split()) <= 9, line


def test_more_samples_keep_the_size(worlds: Worlds) -> None:
    fine = Worlds(24, 32, "cpu", samples=2)
    batch = fine.draw(1, seeded(1), biomes=["table"])
    assert fine.render(batch, NOW)[0].shape == (1, 1, 3, 24, 32)
    coarse = worlds.render(batch, NOW)[0]
    assert coarse.shape == (1, 1, 3, H, W)


def test_unknown_names_are_refused(worlds: Worlds) -> None:
    with pytest.raises(UserError, match="unknown dress 'snow'"):
        worlds.draw(1, seeded(0), dresses=["snow"])
    assert "clay" in SOURCE_NAMES
