"""How frames are made from what a file stores: filters of ffmpeg, chosen by the file's facts.

A progressive file at a constant rate, with square pixels and BT.709 or RGB colours, such as ours,
goes through no filter.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.facts import BT2020, HLG, MAX_PIXELS, PQ, UNSPECIFIED, VideoFacts

_MAX_ASPECT = 8
_HD_PX = (1280, 720)
_HDR_NAMES = {PQ: "PQ", HLG: "HLG"}
_TRANSFERS = {PQ: "smpte2084", HLG: "arib-std-b67"}


def reading_filters(path: Path, facts: VideoFacts, fps: Fraction | None) -> list[str]:
    """Filters between the decoder and RGB, in their order.

    Args:
        path: for messages.
        facts: of the file.
        fps: a rate to which frames are resampled by their time stamps; None: as they come.

    Raises:
        DataError: the shape or the colours of the file cannot be shown as square BT.709 pixels.
    """
    filters = []
    if facts.is_interlaced:
        filters.append("bwdif=mode=send_frame:parity=auto:deint=interlaced")
    if fps is not None:
        rate = f"{fps.numerator}/{fps.denominator}"
        filters += ["setpts=PTS-STARTPTS", f"fps=fps={rate}:round=near"]
    filters += _colours(path, facts)
    if facts.sample_aspect != 1:
        filters += _square_pixels(path, facts)
    return filters


def reading_notes(facts: VideoFacts) -> list[str]:
    """What a user should know about how a file is read: a phrase each."""
    notes = []
    timing = facts.timing
    if not timing.is_constant and timing.rate is not None:
        notes.append(
            f"its frame rate varies: frames are taken at its average, {_told(timing.rate)}"
        )
    if facts.sample_aspect != 1:
        notes.append(f"its pixels are {facts.sample_aspect} as wide as high: made square")
    if facts.is_interlaced:
        notes.append("it is interlaced: fields are joined to whole frames")
    if facts.transfer in _HDR_NAMES:
        notes.append(f"it is HDR ({_HDR_NAMES[facts.transfer]}): tone-mapped to BT.709")
    if facts.is_transparent:
        notes.append("it has transparent parts: shown on neutral grey")
    return notes


def _told(rate: Fraction) -> str:
    return f"{float(rate):.6g} a second"


def _colours(path: Path, facts: VideoFacts) -> list[str]:
    if facts.transfer in _TRANSFERS:
        return [
            f"zscale={_wide_input(facts, _TRANSFERS[facts.transfer])}:transfer=linear:npl=203",
            "format=gbrpf32le",
            "zscale=primaries=bt709",
            "tonemap=tonemap=mobius:param=0.5:desat=0",
            "zscale=transfer=bt709:matrix=bt709:range=tv",
            "format=yuv444p",
        ]
    if facts.has_dolby_vision and facts.transfer == UNSPECIFIED:
        raise DataError(
            f"cannot read {path}: Dolby Vision without an HDR10 or HLG base; convert it"
        )
    if not facts.is_yuv:
        return []
    if facts.primaries == BT2020:
        wide = _wide_input(facts, "bt709")
        to = "primaries=bt709:transfer=bt709:matrix=bt709:range=tv"
        return [f"zscale={wide}:{to}", "format=yuv444p"]
    is_hd = facts.width_px >= _HD_PX[0] or facts.height_px >= _HD_PX[1]
    if facts.matrix == UNSPECIFIED and is_hd:
        return ["setparams=colorspace=bt709"]  # as players do; the converter would take BT.601
    return []


def _wide_input(facts: VideoFacts, transfer: str) -> str:
    """The colour description of the input for zscale, what is not stated filled in."""
    described = f"transferin={transfer}"
    if facts.primaries == UNSPECIFIED:
        described += ":primariesin=bt2020"
    if facts.matrix == UNSPECIFIED:
        described += ":matrixin=bt2020nc"
    return f"{described}:rangein={'pc' if facts.is_full_range else 'tv'}"


def _square_pixels(path: Path, facts: VideoFacts) -> list[str]:
    aspect = facts.sample_aspect
    largest = max(aspect, 1 / aspect)
    if largest > _MAX_ASPECT or facts.width_px * facts.height_px * largest > MAX_PIXELS:
        raise DataError(f"cannot read {path}: pixels {aspect} as wide as high are not made square")
    # The side that is too short grows; by expressions, since the picture may have been turned.
    return ["scale=w='max(iw,round(iw*sar))':h='max(ih,round(ih/sar))':flags=bicubic", "setsar=1"]
