"""The number in the picture."""

import numpy as np
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from everframe.serve.marker import ID_BITS, STRIP, read, stamp
from tests.nets import random_frame


@given(st.integers(0, 2**ID_BITS - 1), st.sampled_from([256, 288, 320, 512]))
def test_what_is_stamped_is_read(number: int, width: int) -> None:
    picture = np.full((32, width, 3), 90, np.uint8)
    back, found = read(stamp(picture, number))
    assert found == number
    np.testing.assert_array_equal(back, picture)


def test_it_survives_a_poor_codec_and_half_the_size() -> None:
    for number in (0, 1, 0x5A5A5A, 2**ID_BITS - 1):
        marked = Image.fromarray(stamp(random_frame(3, 224, 288), number))
        small = np.asarray(marked.resize((144, 120), Image.Resampling.BILINEAR))
        coded = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(small, 40, "RGB", "420"), "RGB")
        large = Image.fromarray(coded).resize((288, 224 + STRIP), Image.Resampling.BILINEAR)
        assert read(np.asarray(large))[1] == number


def test_a_picture_without_a_strip_has_no_number() -> None:
    for level in (0, 255):
        assert read(np.full((64, 256, 3), level, np.uint8))[1] is None
    assert read(stamp(random_frame(1, 64, 256), 2**ID_BITS + 5))[1] == 5
