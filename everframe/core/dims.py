"""The legend of dimension letters, used in shape comments, docstrings and tensor suffixes.

| letter | meaning                                        |
|--------|------------------------------------------------|
| B      | streams in a batch                             |
| T      | frames in time                                 |
| C      | channels (3, RGB)                              |
| H, W   | height and width in pixels                     |
| N      | tokens: patches of a frame, or words of a prompt |
| D      | width of the model                             |

W is the width of a frame next to H, never of the model. Pixels are 0..1 float32 in learning code
and 0..255 uint8 at the borders (session, files, command line); always RGB.
"""

import numpy as np
import numpy.typing as npt

FrameU8 = npt.NDArray[np.uint8]
"""One frame at a border: [H, W, 3], RGB, 0..255."""

ArrayF32 = npt.NDArray[np.float32]
"""A float32 array; the shape stands in the docstring of whoever takes or returns it."""

ArrayBool = npt.NDArray[np.bool_]
"""A mask; the shape stands in the docstring of whoever takes or returns it."""
