"""The size the model works at."""

import pytest

from everframe.core.errors import UserError
from everframe.stream.resize import DEFAULT_AREA, SIZE_MULTIPLE, Size, choose_size, parse_size


@pytest.mark.parametrize(
    ("source", "chosen"),
    [
        (Size(640, 480), Size(288, 224)),
        (Size(1920, 1080), Size(336, 192)),
        (Size(1080, 1920), Size(192, 336)),
        (Size(500, 500), Size(256, 256)),
        (Size(32, 32), Size(256, 256)),
    ],
)
def test_common_shapes(source: Size, chosen: Size) -> None:
    assert choose_size(source) == chosen


def test_aspect_and_area_are_kept() -> None:
    for width in range(200, 1801, 37):
        source = Size(width, 600)
        size = choose_size(source)
        assert size.width % SIZE_MULTIPLE == size.height % SIZE_MULTIPLE == 0
        stretch = (size.width / size.height) / (source.width / source.height)
        assert abs(stretch - 1) < 0.06, source
        assert 0.85 < size.width * size.height / DEFAULT_AREA < 1.15, source


def test_area_is_a_choice_and_extremes_stay_valid() -> None:
    assert choose_size(Size(1280, 720), area=4 * DEFAULT_AREA) == Size(688, 384)
    for source in (Size(10_000, 10), Size(10, 10_000), Size(1, 1)):
        size = choose_size(source)
        assert parse_size(str(size)) == size


def test_sizes_as_typed() -> None:
    assert parse_size("320x176") == Size(320, 176)
    assert parse_size(" 64X1280 ") == Size(64, 1280)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("300x200", "nearest is 304x208|nearest is 304x192"),
        ("16x16", "nearest is 64x64"),
        ("99999x99999", "nearest is 1280x1280"),
        ("0x0", "nearest is 64x64"),
        ("big", "WIDTHxHEIGHT"),
        ("-320x176", "WIDTHxHEIGHT"),
        ("320", "WIDTHxHEIGHT"),
        ("1e9x16", "WIDTHxHEIGHT"),
        ("9" * 5000 + "x16", "WIDTHxHEIGHT"),
    ],
)
def test_bad_sizes_name_the_fix(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_size(text)


def test_even_sizes() -> None:
    assert Size(63, 47).even() == Size(62, 46)
    assert Size(1, 64).even() == Size(2, 64)
