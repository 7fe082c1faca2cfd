"""How pictures get from the console to the engine, on this computer: TCP on the engine's port, one at a time.

    engine to console   16 bytes made by chance
    console to engine   their proof, 32 bytes; then 16 bytes made by chance
    engine to console   the proof of those
    console to engine   u32 length, i32 how many ms old (-1: not known), both little-endian; then the JPEG
    engine to console   "+", once it has taken the picture in

A proof is an HMAC-SHA-256 under a secret that the supervisor gives to both in their environment, so
that neither a stranger's pictures are played nor the performer's picture handed to a stranger.
"""

import hmac
import struct

SECRET_VARIABLE = "INSTRUMENT_SECRET"  # noqa: S105  (the name of it)
CHALLENGE_BYTES, PROOF_BYTES = 16, 32
HEAD = struct.Struct("<Ii")
TAKEN = b"+"
MOST_BYTES = 1_000_000
"""Of one picture; 640 x 360 has about 40 000."""
MOST_PIXELS = 4096 * 2304
"""A picture that says it is larger is not decoded, however few bytes it has."""


def proof(secret: str, who: str, challenge: bytes) -> bytes:
    """What `who`, `engine` or `console`, answers to a challenge."""
    return hmac.digest(secret.encode(), who.encode() + challenge, "sha256")


def is_proven(secret: str, who: str, challenge: bytes, answer: bytes) -> bool:
    return hmac.compare_digest(proof(secret, who, challenge), answer)


def jpeg_size(picture: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG says it has, without decoding it; None when it is no JPEG."""
    if picture[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(picture) and picture[at] == 0xFF:
        marker, length = picture[at + 1], int.from_bytes(picture[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack(">HH", picture[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
