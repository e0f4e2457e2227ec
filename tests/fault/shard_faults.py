"""Every way a shard can be bad, and what is said about it.

The tests are parametrised from this list, and the table in docs/operations.md is generated
from it.
"""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL import Image

from ncaudit.types import Status
from tests.support.shards import image_bytes, jpeg, json_bytes, tar_bytes, tar_of
from tests.support.toy_encoder import describe, stripes

Members = Mapping[str, bytes]
Member = tuple[str | tarfile.TarInfo, bytes]
STRIPES = ("red", "blue", "white")
GOOD: Members = {"jpg": stripes(STRIPES), "txt": describe(STRIPES).encode()}
BEFORE, AFTER = ("before", GOOD), ("later", GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFault:
    """One bad shard.

    Attributes:
        name: Its name in the tests and in the documentation.
        what: What is bad, for the documentation.
        make: Gives the file's bytes.
        rejects: Reject reason to number of pairs.
        n_good: Pairs that are scored all the same.
        defect: Status of the shard, "" if it is sound.
        detail: What the user reads beside the reason.
    """

    name: str
    what: str
    make: Callable[[], bytes]
    rejects: Mapping[Status, int] = field(default_factory=dict)
    n_good: int = 2
    defect: str = ""
    detail: str = ""


# What runs when it is unpickled: os.system("false"); never loaded here.
PICKLE = b"cos\nsystem\n(S'false'\ntR."
GOOD_FAULT = tuple((f"fault.{suffix}", data) for suffix, data in GOOD.items())


def around(name: str | tarfile.TarInfo, content: bytes = b"", *others: Member) -> bytes:
    """Return a tar with one member, and others, between two good pairs."""
    before = [(f"before.{suffix}", data) for suffix, data in GOOD.items()]
    after = [(f"later.{suffix}", data) for suffix, data in GOOD.items()]
    return tar_of([*before, (name, content), *others, *after], tar_format=tarfile.PAX_FORMAT)


def sample(**members: bytes) -> Callable[[], bytes]:
    """Return a maker of a tar with one sample between two good ones."""
    return lambda: tar_bytes([BEFORE, ("fault", members), AFTER])


def image(content: bytes, suffix: str = "jpg") -> Callable[[], bytes]:
    return sample(**{suffix: content, "txt": GOOD["txt"]})


def caption(content: bytes) -> Callable[[], bytes]:
    return sample(jpg=GOOD["jpg"], txt=content)


def json(content: bytes) -> Callable[[], bytes]:
    return sample(jpg=GOOD["jpg"], json=content)


def whole() -> bytes:
    return tar_bytes([BEFORE, ("fault", GOOD), AFTER])


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def with_pax(name: str, **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
    return info


def damaged_header() -> bytes:
    content = bytearray(whole())
    content[content.index(b"fault.jpg") + 1] ^= 0xFF
    return bytes(content)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def huge_png() -> bytes:
    """Return a small PNG that says it has 30,000 x 30,000 px."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*each) for each in chunks)


def png_text_bomb() -> bytes:
    content = image_bytes(Image.new("RGB", (24, 24)), "PNG")
    text = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(64 << 20)))
    return content[:33] + text + content[33:]


def damaged_png() -> bytes:
    content = bytearray(image_bytes(Image.effect_noise((64, 64), 50), "PNG"))
    start = content.index(b"IDAT") + 4
    content[start : start + 40] = bytes(40)
    return bytes(content)


def animated() -> bytes:
    frames = [Image.new("RGB", (24, 24), colour) for colour in ("red", "blue")]
    return image_bytes(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return image_bytes(Image.new("RGB", (24, 32), "red"), "JPEG", exif=exif)


def sparse() -> bytes:
    info = with_pax("fault.jpg", GNU_sparse_map="0,1", GNU_sparse_size="1000000000000")
    return around(info, b"x", ("fault.txt", b"caption"))


def gnu_sparse() -> bytes:
    return around(special("fault.jpg", tarfile.GNUTYPE_SPARSE), b"", ("fault.txt", b"caption"))


def pax_path() -> bytes:
    return around(with_pax("fault.jpg", path="../../fault.jpg"), GOOD["jpg"])


def renamed_by_a_global_header() -> bytes:
    """Return a tar whose global header gives every member one name, which tarfile obeys."""
    header = tarfile.TarInfo.create_pax_global_header({"path": "../../owned.jpg"})
    return header + whole()


def pax_size() -> bytes:
    return around(with_pax("fault.jpg", size="9" * 4000), b"")


def cut_at(mark: bytes, n_after: int) -> Callable[[], bytes]:
    """Return a maker of a tar that ends `n_after` bytes after `mark`."""

    def make() -> bytes:
        content = whole()
        return content[: content.index(mark) + n_after]

    return make


def cut_gzip() -> bytes:
    packed = gzip.compress(whole(), 0, mtime=0)
    return packed[: packed.index(b"fault.jpg") + 600]


def no_end_mark() -> bytes:
    with tarfile.open(fileobj=io.BytesIO(whole())) as tar:
        last = tar.getmembers()[-1]
    return whole()[: last.offset_data + 512]


def member_over(suffix: str, n_bytes: int) -> Callable[[], bytes]:
    members = {"jpg": GOOD["jpg"], "txt": b"a dog"}
    return sample(**members | {suffix: b"\0" * n_bytes})


def broken_exif() -> bytes:
    exif = b"Exif\0\0MM\0*" + b"\xff" * 999
    return image_bytes(Image.new("RGB", (24, 24), "red"), "JPEG", exif=exif)


def unsorted() -> bytes:
    ends = [(f"{key}.{suffix}", GOOD[suffix]) for suffix in ("jpg", "txt") for key in ("a", "b")]
    return tar_of(ends)


S = Status
_SHARD = (
    ShardFault(
        name="tar_cut_in_a_member",
        what="ends in the middle of a member",
        make=cut_at(b"fault.jpg", 600),
        rejects={S.SHARD_TRUNCATED: 1},
        n_good=1,
        defect="shard_truncated",
        detail="cut at byte",
    ),
    ShardFault(
        name="tar_cut_in_a_header",
        what="ends in the middle of a header",
        make=cut_at(b"fault.txt", 100),
        rejects={S.CAPTION_MISSING: 1},
        n_good=1,
        defect="shard_truncated",
        detail="header cut at byte",
    ),
    ShardFault(
        name="no_end_mark",
        what="ends after a member, without the end-of-archive mark",
        make=no_end_mark,
        n_good=3,
        defect="shard_truncated",
        detail="no end-of-archive mark",
    ),
    ShardFault(
        name="corrupt_header",
        what="a header in the middle has another checksum",
        make=damaged_header,
        n_good=1,
        defect="shard_truncated",
        detail="corrupt header at byte",
    ),
    ShardFault(
        name="data_after_the_end",
        what="a second tar after the end-of-archive mark",
        make=lambda: whole() + whole(),
        n_good=3,
        defect="shard_truncated",
        detail="data after the end-of-archive mark",
    ),
    ShardFault(
        name="no_tar",
        what="something else called `.tar`",
        make=lambda: b"<html>404 Not Found</html>" * 99,
        rejects={S.SHARD_UNREADABLE: 1},
        n_good=0,
        defect="shard_unreadable",
        detail="not a tar",
    ),
    ShardFault(
        name="empty_file",
        what="0 bytes",
        make=lambda: b"",
        rejects={S.SHARD_UNREADABLE: 1},
        n_good=0,
        defect="shard_unreadable",
        detail="empty file",
    ),
    ShardFault(
        name="empty_tar",
        what="a tar without members",
        make=lambda: tar_of([]),
        n_good=0,
        defect="no_samples",
        detail="an empty tar",
    ),
    ShardFault(
        name="gzip",
        what="a gzip under the name of a tar",
        make=lambda: gzip.compress(whole(), mtime=0),
        n_good=3,
    ),
    ShardFault(
        name="gzip_cut",
        what="a gzip that ends early",
        make=cut_gzip,
        defect="shard_truncated",
        n_good=1,
        rejects={S.SHARD_TRUNCATED: 1},
        detail="gzip data is damaged",
    ),
    ShardFault(
        name="pax_bomb",
        what="an extended header of over 1 MiB",
        make=lambda: around(with_pax("fault.jpg", comment="x" * (2 << 20))),
        n_good=1,
        defect="shard_truncated",
        detail="extended header of",
    ),
    ShardFault(
        name="global_pax_header",
        what="a global extended header that renames every member",
        make=renamed_by_a_global_header,
        n_good=3,
    ),
    ShardFault(
        name="negative_size",
        what="a pax header with a negative size",
        make=lambda: around(with_pax("fault.jpg", size="-512"), b""),
        n_good=1,
        defect="shard_truncated",
        detail="a member of impossible size",
    ),
    ShardFault(
        name="pax_size",
        what="a pax header with a size of 4,000 digits",
        make=pax_size,
        n_good=1,
        defect="shard_truncated",
        detail="a member of impossible size",
    ),
)
_MEMBERS = (
    ShardFault(
        name="unsorted_members",
        what="all images, then all captions",
        make=unsorted,
        rejects={S.CAPTION_MISSING: 2, S.DUPLICATE_KEY: 2},
        n_good=0,
        detail="the key came before in this shard",
    ),
    ShardFault(
        name="duplicate_key",
        what="the key of an earlier sample",
        make=lambda: tar_bytes([BEFORE, AFTER, ("before", GOOD)]),
        rejects={S.DUPLICATE_KEY: 1},
    ),
    ShardFault(
        name="dot_in_key",
        what="a dot in the key: `img.0001.jpg`",
        make=lambda: tar_bytes([BEFORE, ("fault.0001", GOOD), AFTER]),
        rejects={S.IMAGE_MISSING: 1},
        detail="a key ends at its first dot",
    ),
    ShardFault(
        name="no_image",
        what="a caption alone",
        make=sample(txt=GOOD["txt"]),
        rejects={S.IMAGE_MISSING: 1},
        detail="no jpg, jpeg, png or webp among: txt",
    ),
    ShardFault(
        name="no_caption",
        what="an image alone",
        make=sample(jpg=GOOD["jpg"]),
        rejects={S.CAPTION_MISSING: 1},
    ),
    ShardFault(
        name="huge_image",
        what="an image of 65 MiB",
        make=member_over("jpg", 65 << 20),
        rejects={S.MEMBER_TOO_LARGE: 1},
        detail="the limit is 67,108,864",
    ),
    ShardFault(
        name="huge_caption",
        what="a `.txt` of 2 MiB",
        make=member_over("txt", 2 << 20),
        rejects={S.MEMBER_TOO_LARGE: 1},
    ),
    ShardFault(
        name="huge_json",
        what="a `.json` of 5 MiB",
        make=member_over("json", 5 << 20),
        rejects={S.MEMBER_TOO_LARGE: 1},
    ),
    ShardFault(
        name="sparse_member",
        what="an image stored as a sparse file of 1 TB",
        make=sparse,
        rejects={S.UNSAFE_NAME: 1},
        detail="sparse file: not followed",
    ),
    ShardFault(
        name="old_sparse_member",
        what="an image stored as a sparse file in GNU's old form",
        make=gnu_sparse,
        rejects={S.UNSAFE_NAME: 1},
        detail="sparse file: not followed",
    ),
    ShardFault(
        name="symbolic_link",
        what="an image that links to `/etc/passwd`",
        make=lambda: around(special("fault.jpg", tarfile.SYMTYPE, "/etc/passwd")),
        rejects={S.UNSAFE_NAME: 1},
        detail="symbolic link: not followed",
    ),
    ShardFault(
        name="hard_link",
        what="an image that is a hard link to another",
        make=lambda: around(special("fault.jpg", tarfile.LNKTYPE, "before.jpg")),
        rejects={S.UNSAFE_NAME: 1},
        detail="hard link: not followed",
    ),
    ShardFault(
        name="device",
        what="a caption that is a device",
        make=lambda: around(
            "fault.jpg", GOOD["jpg"], (special("fault.txt", tarfile.CHRTYPE), b"")
        ),
        rejects={S.UNSAFE_NAME: 1},
        detail="character device: not followed",
    ),
    ShardFault(
        name="pipe_member",
        what="an image that is a named pipe, at which a reader would wait for ever",
        make=lambda: around(special("fault.jpg", tarfile.FIFOTYPE)),
        rejects={S.UNSAFE_NAME: 1},
        detail="pipe: not followed",
    ),
    ShardFault(
        name="pax_path",
        what="a harmless name that a pax header replaces by one with `..`",
        make=pax_path,
        rejects={S.UNSAFE_NAME: 1},
        detail="the name has '..'",
    ),
    ShardFault(
        name="path_upwards",
        what="a name with `..`",
        make=lambda: around("../../fault.jpg", GOOD["jpg"], ("../../fault.txt", GOOD["txt"])),
        rejects={S.UNSAFE_NAME: 1},
        detail="the name has '..'",
    ),
    ShardFault(
        name="absolute_path",
        what="a name that starts with `/`",
        make=lambda: around("/tmp/fault.jpg", GOOD["jpg"], ("/tmp/fault.txt", GOOD["txt"])),  # noqa: S108
        rejects={S.UNSAFE_NAME: 1},
        detail="the name is absolute",
    ),
    ShardFault(
        name="nul_in_name",
        what="a name with NUL",
        make=lambda: around(with_pax("x", path="fault\0.jpg"), GOOD["jpg"]),
        rejects={S.UNSAFE_NAME: 1},
        detail="control characters",
    ),
    ShardFault(
        name="escape_in_name",
        what="a name with terminal escape sequences",
        make=lambda: around("fault\x1b[31m.jpg", GOOD["jpg"], ("fault\x1b[31m.txt", GOOD["txt"])),
        rejects={S.UNSAFE_NAME: 1},
        detail="control characters",
    ),
    ShardFault(
        name="bidi_in_name",
        what="a name with bidirectional controls",
        make=lambda: around("a\u202egpj.jpg", GOOD["jpg"], ("a\u202egpj.txt", GOOD["txt"])),
        n_good=3,
    ),
    ShardFault(
        name="latin1_name",
        what="a name that is not UTF-8",
        make=lambda: around("s\udcfc.jpg", GOOD["jpg"], ("s\udcfc.txt", GOOD["txt"])),
        n_good=3,
    ),
    ShardFault(
        name="pickle_member",
        what="a `.pyd` or `.pth` member, which other tools unpickle",
        make=lambda: around("fault.pyd", PICKLE, ("fault.pth", PICKLE), *GOOD_FAULT),
        n_good=3,
    ),
)
_IMAGES = (
    ShardFault(
        name="html_as_jpg",
        what="an HTML error page",
        make=image(b"<!DOCTYPE html><html>404</html>"),
        rejects={S.NOT_AN_IMAGE: 1},
        detail="looks like HTML",
    ),
    ShardFault(
        name="pdf_as_jpg",
        what="a PDF",
        make=image(b"%PDF-1.7 ..."),
        rejects={S.NOT_AN_IMAGE: 1},
        detail="looks like PDF",
    ),
    ShardFault(
        name="svg_as_png",
        what="an SVG",
        make=image(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "png"),
        rejects={S.NOT_AN_IMAGE: 1},
        detail="looks like SVG",
    ),
    ShardFault(
        name="eps_as_jpg",
        what="PostScript, which some decoders run",
        make=image(b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        rejects={S.NOT_AN_IMAGE: 1},
    ),
    ShardFault(
        name="gif_as_jpg",
        what="a GIF",
        make=image(image_bytes(Image.new("RGB", (24, 24)), "GIF")),
        rejects={S.NOT_AN_IMAGE: 1},
        detail="looks like GIF",
    ),
    ShardFault(
        name="no_bytes",
        what="0 bytes",
        make=image(b""),
        rejects={S.IMAGE_EMPTY: 1},
    ),
    ShardFault(
        name="truncated_jpeg",
        what="a JPEG that ends early",
        make=image(GOOD["jpg"][:-200]),
        rejects={S.IMAGE_TRUNCATED: 1},
    ),
    ShardFault(
        name="damaged_png",
        what="a PNG with damaged data",
        make=image(damaged_png(), "png"),
        rejects={S.IMAGE_UNDECODABLE: 1},
    ),
    ShardFault(
        name="one_pixel",
        what="1 x 1 px",
        make=image(jpeg("red", (1, 1))),
        rejects={S.IMAGE_TOO_SMALL: 1},
        detail="1 x 1 px",
    ),
    ShardFault(
        name="decompression_bomb",
        what="30,000 x 30,000 px",
        make=image(huge_png(), "png"),
        rejects={S.IMAGE_BOMB: 1},
        detail="30000 x 30000 px",
    ),
    ShardFault(
        name="png_text_bomb",
        what="a PNG with 64 MiB of compressed text",
        make=image(png_text_bomb(), "png"),
        rejects={S.IMAGE_BOMB: 1},
    ),
    ShardFault(
        name="cmyk",
        what="CMYK",
        make=image(image_bytes(Image.new("CMYK", (24, 24)), "JPEG")),
        n_good=3,
    ),
    ShardFault(
        name="sixteen_bits",
        what="16 bits per channel",
        make=image(image_bytes(Image.new("I;16", (24, 24), 40_000), "PNG"), "png"),
        n_good=3,
    ),
    ShardFault(
        name="palette",
        what="a palette",
        make=image(image_bytes(Image.new("P", (24, 24), 3), "PNG"), "png"),
        n_good=3,
    ),
    ShardFault(name="animated", what="an animation", make=image(animated(), "webp"), n_good=3),
    ShardFault(name="rotated", what="turned by EXIF", make=image(rotated()), n_good=3),
    ShardFault(
        name="broken_exif", what="EXIF that cannot be read", make=image(broken_exif()), n_good=3
    ),
    ShardFault(
        name="wrong_suffix",
        what="a PNG called `.jpg`",
        make=image(image_bytes(Image.new("RGB", (24, 24)), "PNG")),
        n_good=3,
    ),
)
_CAPTIONS = (
    ShardFault(
        name="empty_caption",
        what="nothing",
        make=caption(b""),
        rejects={S.CAPTION_EMPTY: 1},
    ),
    ShardFault(
        name="invisible_caption",
        what="blanks and characters that nobody sees",
        make=caption(" \u200b\u2060\n".encode()),
        rejects={S.CAPTION_EMPTY: 1},
        detail="nothing visible",
    ),
    ShardFault(
        name="long_caption",
        what="1 MB",
        make=caption(b"x" * 1_000_000),
        rejects={S.CAPTION_TOO_LONG: 1},
        detail="1,000,000 characters",
    ),
    ShardFault(
        name="latin1_caption",
        what="not UTF-8",
        make=caption("ein süßer Hund".encode("latin-1")),
        rejects={S.CAPTION_NOT_TEXT: 1},
        detail="not UTF-8 at byte",
    ),
    ShardFault(
        name="bidi_caption",
        what="bidirectional controls",
        make=caption("a \u202egod\u202c".encode()),
        n_good=3,
    ),
    ShardFault(
        name="escape_caption",
        what="terminal escape sequences and markup",
        make=caption(b"\x1b]0;owned\x07 [red]a dog[/red]"),
        n_good=3,
    ),
    ShardFault(
        name="formula_caption",
        what="a spreadsheet formula",
        make=caption(b'=HYPERLINK("http://example.com")'),
        n_good=3,
    ),
    ShardFault(
        name="html_caption",
        what="HTML with a script",
        make=caption(b"</script><script>alert(1)</script><img src=x onerror='alert(2)'>"),
        n_good=3,
    ),
    ShardFault(
        name="json_list",
        what="a `.json` that is no object",
        make=json(b'["a dog"]'),
        rejects={S.JSON_INVALID: 1},
        detail="not an object",
    ),
    ShardFault(
        name="json_broken",
        what="a `.json` that does not parse",
        make=json(b'{"caption": "a dog"'),
        rejects={S.JSON_INVALID: 1},
        detail="does not parse",
    ),
    ShardFault(
        name="json_deep",
        what="a `.json` nested 100,000 deep",
        make=json(b"[" * 100_000),
        rejects={S.JSON_INVALID: 1},
    ),
    ShardFault(
        name="json_number",
        what="a number for a caption",
        make=json(json_bytes({"caption": 7})),
        rejects={S.CAPTION_NOT_TEXT: 1},
        detail="the JSON value is a int",
    ),
    ShardFault(
        name="json_nan",
        what="NaN for a caption, which JSON does not have",
        make=json(b'{"caption": NaN}'),
        rejects={S.CAPTION_NOT_TEXT: 1},
    ),
    ShardFault(
        name="json_surrogate",
        what="half a surrogate pair",
        make=json(b'{"caption": "a \\ud800 dog"}'),
        rejects={S.CAPTION_NOT_TEXT: 1},
        detail="half a surrogate pair",
    ),
    ShardFault(
        name="json_no_caption",
        what="a `.json` without any known field",
        make=json(json_bytes({"url": "http://example.com/secret.jpg"})),
        rejects={S.CAPTION_MISSING: 1},
    ),
)
SECTIONS: Mapping[str, tuple[ShardFault, ...]] = {
    "the shard": _SHARD,
    "a member": _MEMBERS,
    "the image": _IMAGES,
    "the caption": _CAPTIONS,
}
SHARD_FAULTS = tuple(fault for faults in SECTIONS.values() for fault in faults)
