import io
import struct
import tempfile
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain import media
from domain.errors import ProviderInvalidOutput
from domain.media import MediaInfo, inspect


def an_image(kind: str, **options) -> bytes:
    picture = Image.effect_noise((96, 64), 80).convert("RGB")
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def a_video(audio: bool = False, container: str = "mp4", **options) -> bytes:
    with tempfile.NamedTemporaryFile() as file:  # a real one: moving the header first means reading it again
        _encode(file.name, audio, container, options)
        return file.read()


def _encode(path: str, audio: bool, container: str, options: dict[str, str]) -> None:
    with av.open(path, "w", format=container, options=options) as out:
        sound = out.add_stream("aac", rate=8000) if audio else None
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.time_base = 64, 48, Fraction(1, 10)
        for number in range(15):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            silence.sample_rate = 8000
            silence.planes[0].update(bytes(4096))
            out.mux(sound.encode(silence))
            out.mux(sound.encode(None))


FILES = {
    "png": (an_image("PNG"), MediaInfo("image/png", 96, 64)),
    "jpeg": (an_image("JPEG"), MediaInfo("image/jpeg", 96, 64)),
    "progressive jpeg": (an_image("JPEG", progressive=True), MediaInfo("image/jpeg", 96, 64)),
    "jpeg with metadata": (an_image("JPEG", comment=b"\xff\xd9" * 50), MediaInfo("image/jpeg", 96, 64)),
    "lossy webp": (an_image("WEBP"), MediaInfo("image/webp", 96, 64)),
    "lossless webp": (an_image("WEBP", lossless=True), MediaInfo("image/webp", 96, 64)),
    "extended webp": (an_image("WEBP", exif=b"Exif\0\0" + bytes(20)), MediaInfo("image/webp", 96, 64)),
    "mp4, header last": (a_video(), MediaInfo("video/mp4", 64, 48, 1.5)),
    "mp4, header first": (a_video(movflags="faststart"), MediaInfo("video/mp4", 64, 48, 1.5)),
    "mp4 with sound first": (a_video(audio=True), MediaInfo("video/mp4", 64, 48, 1.5)),
}


def look(data: bytes) -> MediaInfo:
    return inspect(io.BytesIO(data), len(data))


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_is_recognised_by_its_content(kind):
    data, info = FILES[kind]

    assert look(data) == info


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_off_anywhere_is_refused(kind):
    data, _ = FILES[kind]
    cuts = {*range(min(len(data), 600)), *range(0, len(data), 97), *range(len(data) - 200, len(data))}

    for cut in sorted(cuts):
        with pytest.raises(ProviderInvalidOutput):
            look(data[:cut])


@pytest.mark.parametrize("kind", FILES)
def test_a_file_shorter_than_announced_is_refused(kind):
    data, _ = FILES[kind]

    with pytest.raises(ProviderInvalidOutput):
        inspect(io.BytesIO(data[:-1]), len(data))


@pytest.mark.parametrize("kind", ["png", "jpeg", "lossy webp", "mp4, header last"])
def test_zero_bytes_after_the_end_do_no_harm(kind):
    data, info = FILES[kind]

    assert look(data + bytes(16)) == info


def test_an_animated_webp_has_the_size_of_its_canvas():
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])

    assert look(file.getvalue()) == MediaInfo("image/webp", 40, 30)


def test_a_fragmented_mp4_does_not_say_how_long_it_is():
    info = look(a_video(movflags="frag_keyframe+empty_moov"))

    assert info == MediaInfo("video/mp4", 64, 48, None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>not found</html>", id="a web page"),
        pytest.param(an_image("GIF"), id="another image format"),
        pytest.param(a_video(container="mov"), id="QuickTime"),
        pytest.param(b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", id="AVIF"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xaeB`\x82", id="a PNG without a header"),
        pytest.param(FILES["png"][0][:33] + b"\0\0\0\0IEND\xaeB`\x82", id="a PNG without pixels"),
        pytest.param(FILES["png"][0][:16] + bytes(8) + FILES["png"][0][24:], id="a PNG of no width"),
        pytest.param(b"\xff\xd8\xff\xda\0\x02" + b"\xff\xd9", id="a JPEG without a frame"),
        pytest.param(b"\xff\xd8\xff\xd9" + bytes(40), id="a JPEG that ends at once"),
        pytest.param(b"\xff\xd8\xff\xe0\0\0" * 40, id="a JPEG segment without a length"),
        pytest.param(b"RIFF\x04\0\0\0WEBP" + bytes(20), id="a WebP without an image"),
        pytest.param(b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0" + bytes(10), id="a broken lossless WebP"),
        pytest.param(b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0" + bytes(10), id="a broken lossy WebP"),
        pytest.param(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x02free", id="a box smaller than its header"),
    ],
)
def test_what_is_not_a_whole_file_of_ours_is_refused(data):
    with pytest.raises(ProviderInvalidOutput):
        look(data)


def test_a_video_without_a_picture_track_is_refused():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=8000)
        silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        silence.sample_rate = 8000
        silence.planes[0].update(bytes(4096))
        out.mux(sound.encode(silence))
        out.mux(sound.encode(None))

    with pytest.raises(ProviderInvalidOutput, match="no video track"):
        look(file.getvalue())


def test_a_box_may_have_a_64_bit_size_and_the_last_one_none():
    data, info = FILES["mp4, header first"]
    at = data.index(b"mdat") - 4
    (size,) = struct.unpack_from(">I", data, at)
    long = data[:at] + struct.pack(">I4sQ", 1, b"mdat", size + 8) + data[at + 8 :]
    open_end = data[:at] + struct.pack(">I", 0) + data[at + 4 :]

    assert look(long) == look(open_end) == info


def test_a_file_of_countless_parts_is_given_up(monkeypatch):
    monkeypatch.setattr(media, "PARTS_MAX", 100)

    with pytest.raises(ProviderInvalidOutput, match="too many parts"):
        look(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08free" * 101)


HEADS = [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP", b"\0\0\0\x10ftypisom\0\0\0\0"]


def is_refused_or_has_pixels(data):
    """Any other error is a crash."""
    try:
        info = look(data)
    except ProviderInvalidOutput:
        return True
    return info.width > 0 and info.height > 0


@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_random_bytes_never_crash_the_parser(head, rest):
    assert is_refused_or_has_pixels(head + rest)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_never_crashes_the_parser(kind, position, value):
    data = bytearray(FILES[kind][0])
    data[position % len(data)] = value

    assert is_refused_or_has_pixels(bytes(data))
