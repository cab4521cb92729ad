"""Files that somebody or something has damaged: valid ones with random changes that know what files are made of."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

Seal = Callable[[bytes, Random], bytes]
_TOKEN = re.compile(rb'"[^"\n]{0,300}"|[\w.+-]+|[^\w\s]|\s+')
_NASTY = (
    b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"9" * 5000, b"9" * 40, b"0." + b"9" * 400, b"9223372036854775808",
    b"null", b"true", b"{}", b"[]", b'""', b'"../../x"', b'"/etc/x"', b"\"=cmd|' /C calc'!A0\"",
    b'"<script>1</script>"',
    b'"a\\u0000b"', b'"\\ud800"', b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r", b'"', b"'", b",,", b"\n",
    b"[" * 3000, b'{"a":' * 3000, b'"' + b"x" * 150_000 + b'"', b"1979-05-27", b"-0.0", b"0x10", b"\x1b[2J",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**53, 2**64, 10**30, 0.5, -1.5, 1e308, "", "x", "../x", "-", "=1+1", "é\u2028\0", [], {},
    [[]],    [1, "a"], {"a": {"b": []}}, ["0.1"], "0.1",
)  # fmt: skip
_NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), 65536, 255)


def mutated(valid: bytes, random: Random, seal: Seal | None = None) -> bytes:
    """Return a file with one to eight changes.  seal: changes what is inside of a container and gives it the checksums
    that it needs, so that the changes reach what is behind them; it is left out one time in four."""
    if seal is not None and random.random() < 0.75:
        return seal(valid, random)
    return _changed(valid, random)


def _changed(content: bytes, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        content = random.choice(_CHANGES)(content, random)
    return content


def _span(content: bytes, random: Random, most: int = 64) -> tuple[int, int]:
    start = random.randrange(len(content) + 1)
    return start, min(len(content), start + random.randrange(1, most))


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _left_out(content: bytes, random: Random) -> bytes:
    start, end = _span(content, random, max(2, len(content) // 4))
    return content[:start] + content[end:]


def _twice(content: bytes, random: Random) -> bytes:
    start, end = _span(content, random, max(2, len(content) // 2))
    at = random.choice((end, random.randrange(len(content) + 1)))
    return content[:at] + content[start:end] + content[at:]


def _flipped(content: bytes, random: Random) -> bytes:
    if not content:
        return b"\0"
    start, changed = random.randrange(len(content)), bytearray(content)
    changed[start] = random.choice((changed[start] ^ (1 << random.randrange(8)), 0, 255, 128, random.randrange(256)))
    return bytes(changed)


def _number(content: bytes, random: Random) -> bytes:
    """Write a telling number over some bytes, in either order."""
    form = random.choice("bhiq")
    value = random.choice(_NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1)
    start = random.randrange(len(content) + 1)
    written = value.to_bytes(struct.calcsize(form), random.choice(("little", "big")))
    return content[:start] + written + content[start + len(written) :]


def _token(content: bytes, random: Random) -> bytes:
    """Put something else in the place of a word, or the word in another place, or leave it out."""
    start = random.randrange(len(content) + 1)
    found = [(start + one.start(), start + one.end()) for one in _TOKEN.finditer(content[start : start + 2000])]
    if not found:
        return content
    (first, last), (other, end) = random.choice(found), random.choice(found)
    new = random.choice((random.choice(_NASTY), content[other:end], b"", content[first:last] * 2))
    return content[:first] + new + content[last:]


def _nested(content: bytes, random: Random) -> bytes:
    start, end = _span(content, random, 200)
    depth = random.choice((1, 2, 500, 20_000))
    before, after = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b'"', b'"')))
    return content[:start] + before * depth + content[start:end] + after * depth + content[end:]


def _lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one] = random.choice((lines[other], b"", lines[one] + lines[other]))
    return b"\n".join(lines)


_CHANGES = (_cut, _left_out, _twice, _flipped, _flipped, _number, _number, _token, _token, _token, _nested, _lines)


def json_lines(content: bytes, random: Random) -> bytes:
    """Change values of JSON, one text per line or one for all, which stays JSON: other values, keys that are gone."""
    whole = content.count(b"\n") < 2 or content.startswith(b"{\n")
    lines = [content] if whole else content.removesuffix(b"\n").split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        tree = [json.loads(lines[at])]
        place, key = _node(tree, random)
        new = random.choice((random.choice(_VALUES), place[key], [place[key]]))
        if random.random() < 0.15 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = new
        lines[at] = json.dumps(tree[0], sort_keys=True, separators=(",", ":")).encode()
    return b"".join(line + b"\n" for line in lines)


def _node(tree: list[Any], random: Random) -> tuple[Any, Any]:
    place, key = tree, 0
    while isinstance(inside := place[key], dict | list) and inside and random.random() < 0.9:
        place, key = inside, random.choice([*inside] if isinstance(inside, dict) else range(len(inside)))
    return place, key


def zipped(content: bytes, random: Random) -> bytes:
    """Change a member of a zip file, which is packed again."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return _changed(content, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    at, out = random.randrange(len(members)), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, (entry, data) in enumerate(members):
            archive.writestr(entry, _changed(data, random) if number == at else data, entry.compress_type)
    return out.getvalue()


def tar(content: bytes, random: Random) -> bytes:
    """Change a tar file, whose headers have the sums that they need."""
    changed = bytearray(_changed(content, random))
    for start in range(0, len(changed) - 511, 512):
        if changed[start + 257 : start + 262] == b"ustar":
            changed[start + 148 : start + 156] = b" " * 8
            total = sum(changed[start : start + 512])
            changed[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(changed)


def png(content: bytes, random: Random) -> bytes:
    """Change a PNG file, whose chunks have the sums that they need."""
    changed, start = bytearray(content[:8] + _changed(content[8:], random)), 8
    while start + 12 <= len(changed):
        end = start + 8 + int.from_bytes(changed[start : start + 4], "big")
        if end + 4 > len(changed):
            break
        changed[end : end + 4] = zlib.crc32(changed[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(changed)


def safetensors(content: bytes, random: Random) -> bytes:
    """Change the header of a safetensors file, whose length is right."""
    size = int.from_bytes(content[:8], "little")
    change = random.choice((json_lines, _changed))
    header = change(content[8 : 8 + size], random)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
