"""The decoder: what it makes of each kind of picture, by stated rules, and how it refuses what is none."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from picture_bytes import encoded, noise, png
from prunebench.pictures import Unreadable, decode


def pixels(data: bytes) -> Any:
    return np.asarray(decode(data))


def refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(Unreadable) as caught:
        decode(data)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_picture_without_loss_comes_back_as_it_was(form: str) -> None:
    assert np.array_equal(pixels(encoded(noise(), form)), np.asarray(noise()))


def test_the_result_is_a_plain_image_with_notes_alone() -> None:
    image = decode(encoded(noise(), "JPEG"))
    assert type(image) is Image.Image
    assert image.info == {"notes": ()}
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(image))), np.asarray(image))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(form: str, orientation: int) -> None:
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:8, :8] = 255  # the upper left corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(encoded(Image.fromarray(wide), form, exif=exif))
    turn = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
            5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1),
            7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: np.rot90(a)}[orientation]  # fmt: skip
    expected = turn(wide)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 60


def test_a_grey_picture_of_16_bits_is_upright_too() -> None:
    deep = (np.arange(6 * 8, dtype=np.uint16) * 1300).reshape(6, 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(pixels(encoded(Image.fromarray(deep), exif=exif))[..., 0], np.rot90(deep >> 8, -1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    form = {"P": "PNG", "1": "PNG", "L": "PNG", "YCbCr": "JPEG"}.get(mode, "TIFF")
    source = noise() if mode != "LAB" else Image.new("LAB", (8, 8), (128, 0, 0))
    image = decode(encoded(source.convert(mode) if mode != "LAB" else source, form))
    assert image.mode == "RGB"
    assert image.size == source.size


def test_a_cmyk_photo_has_the_colours_of_the_photo() -> None:
    found = pixels(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("bits", "note"), [(8, ("from-8-bits",)), (12, ("from-12-bits",)), (16, ())])
def test_deep_pictures_fill_the_range_of_8_bits(channels: int, bits: int, note: tuple[str, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 1 << bits, (9, 7, channels))
    values[0, 0, 0] = (1 << bits) - 1
    if channels == 4:
        values[..., 3] = 65535
    image = decode(png(values))
    expected = np.repeat(values, 3, axis=2) if channels == 1 else values[..., :3]
    assert np.array_equal(np.asarray(image), expected >> (bits - 8))
    assert image.info["notes"] == note


def test_a_grey_picture_with_alpha_that_uses_a_sixteenth_of_its_bits_is_refused() -> None:
    values = np.random.default_rng(1).integers(0, 4096, (9, 7, 2))
    values[..., 1] = 65535
    assert refused(png(values))[0] == "unknown-range"


def test_a_deep_picture_that_is_black_is_black() -> None:
    assert pixels(png(np.zeros((4, 4, 3)))).max() == 0


@pytest.mark.parametrize(
    ("top", "dtype"), [(1, "f4"), (255, "f4"), (65535, "f4"), (255, "i4"), (4095, "i4"), (65535, "i4")]
)
def test_floating_and_32_bit_pictures_are_scaled_from_the_first_range_that_holds_them(top: int, dtype: str) -> None:
    ramp = np.linspace(0, top, 64).reshape(8, 8).astype(dtype)
    found = pixels(encoded(Image.fromarray(ramp), "TIFF"))[..., 0]
    assert np.abs(found - np.linspace(0, 255, 64).reshape(8, 8)).max() <= 1
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 70_000.0])
def test_floating_pictures_without_a_range_are_refused(value: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[1, 1] = value
    code, reason = refused(encoded(Image.fromarray(values), "TIFF"))
    assert (code, "no agreed range" in reason) == ("unknown-range", True)


def test_a_dark_picture_whose_file_declares_its_range_stays_dark() -> None:
    values = np.array([0, 100, 200, 300], ">u2")
    assert pixels(b"P5\n2 2\n4095\n" + values.tobytes())[..., 0].ravel().tolist() == [0, 6, 12, 18]


@pytest.mark.parametrize(("colour", "note"), [(0, "on-white"), (255, "on-black"), (90, "on-white")])
def test_a_shape_in_the_alpha_channel_is_seen(colour: int, note: str) -> None:
    drawn = np.full((16, 16, 4), colour, np.uint8)
    drawn[..., 3] = 0
    drawn[4:9, 4:9, 3] = 255
    image = decode(encoded(Image.fromarray(drawn)))
    grey = np.asarray(image)[..., 0]
    assert set(grey[4:9, 4:9].ravel()) == {colour}
    assert set(np.delete(grey.ravel(), np.flatnonzero(drawn[..., 3].ravel()))) == {0 if note == "on-black" else 255}
    assert image.info["notes"] == (note,)


def test_half_transparent_colours_are_mixed_with_the_background() -> None:
    drawn = np.zeros((8, 8, 4), np.uint8)
    drawn[:4], drawn[4:] = (100, 0, 0, 255), (100, 0, 0, 51)
    found = pixels(encoded(Image.fromarray(drawn)))
    assert found[0, 0].tolist() == [100, 0, 0]
    assert np.abs(found[7, 7].astype(int) - (224, 204, 204)).max() <= 1


def test_an_alpha_channel_that_is_the_same_everywhere_is_dropped() -> None:
    for alpha in (0, 128, 255):
        image = noise().convert("RGBA")
        image.putalpha(alpha)
        assert np.array_equal(pixels(encoded(image)), np.asarray(noise()))


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    drawn = np.zeros((8, 8), np.uint8)
    drawn[2:6, 2:6] = 1
    image = Image.fromarray(drawn).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    for form in ("PNG", "GIF"):
        found = pixels(encoded(image, form, transparency=0))
        assert (found[0, 0].tolist(), found[3, 3].tolist()) == ([255] * 3, [40, 50, 60])


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(form: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    more = {"lossless": True} if form == "WEBP" else {}
    image = decode(encoded(first, form, save_all=True, append_images=[second], **more))
    assert image.getpixel((3, 3)) == (255, 0, 0)
    assert image.info["notes"] == ("first-frame", "one-colour")


def test_pictures_of_one_colour_are_marked() -> None:
    assert decode(encoded(Image.new("L", (9, 9), 7))).info["notes"] == ("one-colour",)
    nearly = np.zeros((9, 9), np.uint8)
    nearly[2, 3] = 1
    assert decode(encoded(Image.fromarray(nearly))).info["notes"] == ()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_a_file_that_is_cut_off_is_refused(form: str, share: float) -> None:
    whole = encoded(noise(size=(40, 40)), form)
    code, _ = refused(whole[: int(len(whole) * share)])
    assert code in ("truncated", "damaged", "not-an-image")
    if share > 0.5 and form in ("PNG", "JPEG", "WEBP", "BMP"):
        assert code == "truncated"


def test_what_is_no_picture_is_refused_with_its_kind() -> None:
    assert refused(b"") == ("empty", "the file is empty (0 bytes)")
    assert refused(b"hello, I am text\n") == ("not-an-image", "it is text, not a picture")
    assert refused("na\u00efve text".encode()) == ("not-an-image", "it is text, not a picture")
    assert refused(bytes(range(200)))[0] == "not-an-image"
    assert refused(b"\0\0\0\x18ftypheic" + bytes(64))[0] == "unsupported-format"


def test_postscript_is_not_run() -> None:
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\nshowpage\n"
    assert refused(program)[0] == "not-an-image"


def test_a_decompression_bomb_is_refused_by_its_pixels() -> None:
    code, reason = refused(png(np.zeros((2, 2, 1)), bits=8, width=60_000, height=60_000))
    assert code == "too-many-pixels"
    assert "3600000000 pixels" in reason


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 1)])
def test_thin_pictures_keep_their_size(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("L", size, 3))).size == size


def test_threads_decode_alike_and_leave_the_warnings_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # a warning for each, which is an error here
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: decode(encoded(noise())).tobytes(), range(200)))
    assert set(found) == {noise().tobytes()}
    assert warnings.filters == before


def test_damaged_metadata_do_not_cost_a_picture() -> None:
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken")
    assert decode(data).size == (16, 12)


@given(st.binary(max_size=200), st.sampled_from(["", "PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]), st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_unreadable(data: bytes, form: str, at: int) -> None:
    if form:
        whole = encoded(noise(), form)
        data = whole[:at] + data + whole[at + len(data) :]
    try:
        found = decode(data).mode
    except Unreadable as error:
        found = error.code
    assert found in {"RGB", "empty", "not-an-image", "too-many-pixels", "truncated", "damaged", "unknown-range"}
