"""The words of a task of the Gluon experiment (`gluon_tiles.py`), shared by the lists, the kernel
and the reference.

A cut-down form of the mega kernel's instruction: everything lies in lines of 64 numbers, so the
place of any tile of any matrix is one integer, and that integer is the TMA coordinate.
"""

WORDS = 32
OP, ROW, SIGNAL = 0, 1, 8
WAIT = 2
"""First counter, how many, target: before the operand of a product or the queries are loaded."""
LATE = 5
"""The same, before keys of this frame are loaded."""
SOURCE = 9
"""Line of the operand's (or queries') first panel, its row included."""
WEIGHT, PITCH, PANELS = 10, 11, 12
"""Line of the weights' first panel, column included; lines of a panel; how many panels."""
TARGET = 13
"""Line where the result's first panel begins, row included."""
COLUMN, CONTROL = 14, 15
"""First column of the tile; number in `control` where the vectors of its matrix begin."""
FIRST, LAST, KEYS = 16, 17, 18
"""Attention: key tiles [FIRST, LAST); line of the first panel of the prompt's keys of this head."""
MERGED, PART, PARTS, PARTIAL = 19, 20, 21, 22
"""Attention: counter of finished parts (one for each half of the rows), number of this part,
how many, line of the partial sums in `sums`."""

QUERY_KEY, VALUE, UP, RESIDUAL, ATTEND_PART, ATTEND = range(6)
"""Opcodes. QUERY_KEY is a tile of queries or keys, VALUE one of values."""

ROWS_OF_TASK = 128
"""Rows of a tile; each of the two math warpgroups owns half of them."""
KEYS_OF_TILE = 128
TAIL = 16
"""Keys that a frame has beyond full tiles; the tails of all sources form one last tile."""
SOURCES = 6
"""Prompt, four past frames, this frame."""
WIDE, NARROW = 256, 128
"""Columns of a tile of QKV and UP; of RESIDUAL."""
STAGES = 4
PANEL = 64
