"""G.711 and WAV. Samples are 16-bit, mono, 8 kHz, in numpy arrays of int16. Python has no `audioop` since 3.13."""

import wave
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 8000
FRAME: Final = 160
"""Samples of one media frame: 20 ms."""

Samples = NDArray[np.int16]


@lru_cache(maxsize=1)
def _ulaw_tables() -> tuple[Samples, NDArray[np.uint8]]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    decode = np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)
    return decode, _nearest(decode)


@lru_cache(maxsize=1)
def _alaw_tables() -> tuple[Samples, NDArray[np.uint8]]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    mantissa, exponent = (code & 0x0F) << 4, (code & 0x70) >> 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    decode = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return decode, _nearest(decode)


def _nearest(decode: Samples) -> NDArray[np.uint8]:
    """Return the encoding table of a decoding table: at index sample + 32768 is the code whose sample is closest."""
    order = np.argsort(decode, kind="stable")
    levels = decode[order].astype(np.int32)
    borders = (levels[1:] + levels[:-1]) / 2
    return order[np.searchsorted(borders, np.arange(-32768, 32768))].astype(np.uint8)


def ulaw_decode(data: bytes) -> Samples:
    """Decode PCMU."""
    return _ulaw_tables()[0][np.frombuffer(data, np.uint8)]


def ulaw_encode(samples: Samples) -> bytes:
    """Encode as PCMU."""
    return _ulaw_tables()[1][samples.astype(np.int32) + 32768].tobytes()


def alaw_decode(data: bytes) -> Samples:
    """Decode PCMA."""
    return _alaw_tables()[0][np.frombuffer(data, np.uint8)]


def alaw_encode(samples: Samples) -> bytes:
    """Encode as PCMA."""
    return _alaw_tables()[1][samples.astype(np.int32) + 32768].tobytes()


@lru_cache(maxsize=1)
def law_tables() -> tuple[bytes, bytes]:
    """Return the two tables for `bytes.translate`: PCMU to PCMA, and PCMA to PCMU."""
    codes = bytes(range(256))
    return alaw_encode(ulaw_decode(codes)), ulaw_encode(alaw_decode(codes))


def write_stereo_wav(path: Path | BinaryIO, left: Samples, right: Samples) -> None:
    """Write the two sides of a call; the shorter one is padded with silence."""
    both = np.zeros((max(len(left), len(right)), 2), np.int16)
    both[: len(left), 0], both[: len(right), 1] = left, right
    with wave.open(str(path) if isinstance(path, Path) else path, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(both.tobytes())


def loudness(samples: Samples) -> float:
    """Return the root mean square of the samples, 0 to 32767."""
    return float(np.sqrt(np.mean(samples.astype(np.float32) ** 2))) if len(samples) else 0.0
