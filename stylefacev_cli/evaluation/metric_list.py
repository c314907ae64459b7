"""The metrics by their names: request, measurement and table of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stylefacev_cli.evaluation.diversity import (
    DiversityRequest,
    diversity_table,
    measure_diversity,
)
from stylefacev_cli.evaluation.fid import FidRequest, fid_table, measure_fid
from stylefacev_cli.evaluation.fvd import FvdRequest, fvd_table, measure_fvd
from stylefacev_cli.evaluation.identity import IdentityRequest, identity_table, measure_identity
from stylefacev_cli.evaluation.motion import MotionRequest, measure_motion, motion_table
from stylefacev_cli.evaluation.recomposition import (
    RecompositionRequest,
    measure_recomposition,
    recomposition_table,
)
from stylefacev_cli.evaluation.reconstruction import (
    ReconstructionRequest,
    measure_reconstruction,
    reconstruction_table,
)
from stylefacev_cli.evaluation.session import EvalSession, Report


@dataclass(frozen=True)
class Metric:
    """One family of metrics.

    Attributes:
        request: a dataclass with its options and their group `compute`.
        measure: a session and a request → the report, plain JSON values.
        table: the report as lines.
    """

    request: type
    measure: Callable[[EvalSession, Any], Report]
    table: Callable[[Report], Iterator[str]]


METRICS = {
    "fvd": Metric(FvdRequest, measure_fvd, fvd_table),
    "fid": Metric(FidRequest, measure_fid, fid_table),
    "identity": Metric(IdentityRequest, measure_identity, identity_table),
    "motion": Metric(MotionRequest, measure_motion, motion_table),
    "diversity": Metric(DiversityRequest, measure_diversity, diversity_table),
    "recomposition": Metric(RecompositionRequest, measure_recomposition, recomposition_table),
    "reconstruction": Metric(ReconstructionRequest, measure_reconstruction, reconstruction_table),
}
