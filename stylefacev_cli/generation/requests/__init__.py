"""Requests of the generation engine: one frozen dataclass a job, its options as fields.

Commands take their options from them, settings files map onto them, and Python calls fill them.
"""

from __future__ import annotations

from stylefacev_cli.generation.requests.groups import (
    DEVICES,
    DTYPES,
    FORMATS,
    OUTPUT_PANEL,
    CameraOptions,
    ComputeOptions,
    DriverSearchOptions,
    FaceSearchOptions,
    FormatOptions,
    MotionEdits,
    MotionInMemory,
    PersonInMemory,
    RenderOptions,
)
from stylefacev_cli.generation.requests.jobs import (
    GenerateRequest,
    InvertRequest,
    ReenactRequest,
    TrackRequest,
)

__all__ = [
    "CameraOptions",
    "ComputeOptions",
    "DEVICES",
    "DTYPES",
    "DriverSearchOptions",
    "FORMATS",
    "FaceSearchOptions",
    "FormatOptions",
    "GenerateRequest",
    "InvertRequest",
    "MotionEdits",
    "MotionInMemory",
    "OUTPUT_PANEL",
    "PersonInMemory",
    "ReenactRequest",
    "RenderOptions",
    "TrackRequest",
]
