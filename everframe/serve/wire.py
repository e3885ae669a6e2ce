"""Pictures on the wire: a header of 32 bytes, little-endian, and the payload.

| bytes | field |
|---|---|
| 0 | version, 1 |
| 1 | codec: 0 JPEG, 1 H.264, 2 raw RGB |
| 2 | flags: 1 key frame, 2 fallback, 4 camera passed through |
| 3 | 0 |
| 4-7 | frame id |
| 8-15 | capture time in ms, float64, of the sender's own clock; comes back unchanged |
| 16-17, 18-19 | width, height in px |
| 20-23 | bytes of the payload |
| 24-31 | ms that the server took, float64; 0 from a client |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from everframe.core.errors import UserError

Pixels = NDArray[np.uint8]
VERSION = 1
HEADER = struct.Struct("<BBBBIdHHId")
PAYLOAD_BYTES = 4_000_000
"""Largest payload that is looked at."""
WATCHED_QUALITY = 85
"""Of JPEG for who only watches."""
SIDE_MAX = 4096
"""Longest side of a picture that is decoded, px."""


class Codec(IntEnum):
    """How the payload is coded."""

    JPEG = 0
    H264 = 1
    RAW = 2


class Flags(IntFlag):
    """What kind of picture it is."""

    NONE = 0
    KEY = 1
    FALLBACK = 2
    BYPASS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFrame:
    """A coded picture. `capture_ms`: on the sender's clock; `server_ms`: see the table."""

    codec: Codec
    frame_id: int
    capture_ms: float
    width: int
    height: int
    payload: bytes
    flags: Flags = Flags.NONE
    server_ms: float = 0.0

    def pack(self) -> bytes:
        """Header and payload."""
        head = HEADER.pack(
            VERSION,
            self.codec,
            self.flags,
            0,
            self.frame_id,
            self.capture_ms,
            self.width,
            self.height,
            len(self.payload),
            self.server_ms,
        )
        return head + self.payload


def unpack(data: bytes) -> WireFrame:
    """Read header and payload; nothing is decoded yet.

    Raises:
        UserError: not of this form, of another version, or too large.
    """
    if len(data) < HEADER.size:
        raise UserError(f"a picture message has {len(data)} bytes; its header alone has 32")
    version, codec, flags, _, frame_id, capture_ms, width, height, size, server_ms = (
        HEADER.unpack_from(data)
    )
    if version != VERSION:
        raise UserError(f"picture of version {version}; this server speaks version {VERSION}")
    if codec not in tuple(Codec):
        raise UserError(f"picture codec {codec} is unknown; use 0, 1 or 2 (JPEG, H.264, raw)")
    if size != len(data) - HEADER.size or size > PAYLOAD_BYTES:
        raise UserError(f"the picture says {size} bytes; at most {PAYLOAD_BYTES}, all of them sent")
    if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        raise UserError(f"the picture is {width}x{height}; sides from 1 to {SIDE_MAX}")
    return WireFrame(
        codec=Codec(codec),
        flags=Flags(flags & 7),
        frame_id=frame_id,
        capture_ms=capture_ms,
        width=width,
        height=height,
        payload=data[HEADER.size :],
        server_ms=server_ms,
    )


def decode(frame: WireFrame) -> Pixels:
    """The picture of a frame, uint8 [H, W, 3]. Its size is read before it is decoded.

    Raises:
        UserError: damaged, of another size than its header says, or of a codec of another road.
    """
    if frame.codec is Codec.RAW:
        if len(frame.payload) != frame.width * frame.height * 3:
            raise UserError("a raw picture must have width * height * 3 bytes")
        flat = np.frombuffer(frame.payload, np.uint8)
        return flat.reshape(frame.height, frame.width, 3).copy()
    if frame.codec is not Codec.JPEG:
        raise UserError("this connection takes JPEG (0) or raw RGB (2) pictures")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(frame.payload)
        if (width, height) != (frame.width, frame.height):
            raise UserError(f"the JPEG is {width}x{height}, its header says otherwise")
        return simplejpeg.decode_jpeg(frame.payload, "RGB", fastdct=True)
    except ValueError as error:
        raise UserError(f"the JPEG cannot be decoded: {error}") from None


def encode(pixels: Pixels, codec: Codec, quality: int) -> bytes:
    """A picture uint8 [H, W, 3] as payload; `quality` 1..95 is for JPEG."""
    if codec is Codec.RAW:
        return pixels.tobytes()
    smooth = np.ascontiguousarray(pixels)
    return simplejpeg.encode_jpeg(smooth, quality, "RGB", "420", fastdct=True)


def as_jpeg(frame: WireFrame) -> WireFrame:
    """A raw picture as JPEG."""
    return replace(
        frame, codec=Codec.JPEG, payload=encode(decode(frame), Codec.JPEG, WATCHED_QUALITY)
    )


def fit(pixels: Pixels, width: int, height: int) -> Pixels:
    """The picture at another size; the whole of it, stretched where the shapes differ."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
