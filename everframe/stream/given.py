"""What a caller gives as a picture: is it one, and if not, what makes it one."""

from __future__ import annotations

import numpy as np

from everframe.core.errors import UserError


def check_picture(picture: object, size: tuple[int, int], name: str = "frame") -> None:
    """Raise `UserError` unless `picture` is uint8 [H, W, 3]; the message says how to make it so.

    Args:
        picture: what was given.
        size: height and width that are wanted, pixels.
        name: of what was given.
    """
    wanted = (*size, 3)
    takes = f"this session takes uint8 {wanted} (height, width, RGB)"
    if picture is None:
        raise UserError(f"{name} is None: the camera or file gave no picture; {takes}")
    if not isinstance(picture, np.ndarray):
        kind = f"{type(picture).__module__}.{type(picture).__name__}".removeprefix("builtins.")
        raise UserError(f"{name} is a {kind}; {takes}, a NumPy array: numpy.asarray({name})")
    shape, kind = tuple(int(n) for n in picture.shape), picture.dtype
    if shape != wanted or kind != np.uint8:
        raise UserError(f"{name} is {kind} {shape}; {takes}; {_mend(shape, kind, wanted, name)}")


def _mend(
    shape: tuple[int, ...], kind: np.dtype[np.generic], wanted: tuple[int, ...], name: str
) -> str:
    if shape == wanted:
        grey_levels = f"(255 * {name}).round()" if kind.kind == "f" else name
        return f"convert it: {grey_levels}.astype(numpy.uint8)"
    if shape == wanted[:2]:
        return f"make it colour: numpy.repeat({name}[..., None], 3, axis=2)"
    if shape == (*wanted[:2], 4):
        return f"leave its alpha out: {name}[..., :3]"
    return "resize it, or open the session with another size"
