"""What a file is that people take for weights: by its first bytes, then by its name."""

from __future__ import annotations

_FETCH = "fetch the file itself"
_STARTS = (  # first bytes, and what such a file is, with what to do
    (b"\x1f\x8b", "packed by gzip (.gz): unpack it first (gunzip)"),
    (b"BZh", "packed by bzip2: unpack it first (bunzip2)"),
    (b"\xfd7zXZ\x00", "packed by xz: unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd: unpack it first (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes: weights for torch are needed"),
    (b"GGUF", "a GGUF file, of language models: weights for torch are needed"),
    (b"\x93NUMPY", "one array of numpy, not weights: give the original file"),
    (b"\x89PNG", "a picture, not weights"),
    (b"\xff\xd8\xff", "a picture, not weights"),
    (b"version https://git-lfs", "a Git LFS pointer, not weights: run `git lfs pull`"),
)
_INDEX_MARK = b'"weight_map"'  # of the list of the parts of a model that was split


def known_kind(name: str, start: bytes, num_bytes: int) -> str | None:
    """What a file is that is no weights of a known format; None where nobody can tell.

    Args:
        name: of the file.
        start: its first 512 bytes.
        num_bytes: its length.
    """
    if num_bytes == 0:
        return f"empty: {_FETCH} again"
    for mark, kind in _STARTS:
        if start.startswith(mark):
            return kind
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"<":
        return f"a web page, not weights: {_FETCH} (a browser may be needed)"
    if text[:1] == b"{" and (name.endswith(".index.json") or _INDEX_MARK in start):
        return (
            "the index of weights that were split into several files (shards): give one whole "
            "file, made with the tools of its publisher"
        )
    if not any(start):
        return f"all zeros, the place kept for a download that did not end: {_FETCH} again"
    return None
