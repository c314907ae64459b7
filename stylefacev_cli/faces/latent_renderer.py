"""Pictures and labels of any latent."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.factors import CANONICAL, FaceFactors, FramingRange
from stylefacev_cli.faces.head import Head, build_head
from stylefacev_cli.faces.looks import PHOTOGRAPHIC, check_look, fetch_assets
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.parameters import Pose
from stylefacev_cli.faces.posed_head import pose_head
from stylefacev_cli.faces.renderer import FaceFrame, FaceRenderer

F32 = NDArray[np.float32]

_HEADS_KEPT = 8


class LatentRenderer:
    """Renders latents: any identity in any scene and pose, on demand.

    The picture of A in the pose of B is `render(factors.combine(identity_from=a, pose_from=b))`.
    Recently used heads are kept, so frames of the same person are cheap.
    """

    def __init__(
        self,
        size_px: int,
        framing: FramingRange = CANONICAL,
        supersampling: int | None = None,
        look: str = PHOTOGRAPHIC,
    ) -> None:
        """Load the mesh and open the renderer.

        Args:
            size_px: side of the pictures.
            framing: how faces are placed.
            supersampling: samples a pixel along each side; see `FaceRenderer` for the default.
            look: one of `looks.LOOKS`.

        Raises:
            UsageError: there is no such look.
            MissingWeightsError, IntegrityError: as `looks.fetch_assets`.
            StyleFaceVError: as `FaceRenderer`.
        """
        check_look(look)
        fetch_assets(look)
        self.look = look
        self.factors = FaceFactors(framing)
        self.size_px = size_px
        self._mesh = load_mesh()
        self._renderer = FaceRenderer(self._mesh, size_px, supersampling)
        self._heads: OrderedDict[bytes, Head] = OrderedDict()

    @property
    def expression_names(self) -> NDArray[np.str_]:
        """Names of the 52 expressions in `FaceFrame.expressions`."""
        return self._mesh.expression_names

    def render(self, z: F32) -> FaceFrame:
        """The picture of a latent z [256] of RMS 1, with its landmarks and expressions."""
        head = self.head(z)
        return self._renderer.render(head, self.factors.scene_of(z), self.factors.pose_of(z))

    def landmarks(self, head: Head, pose: Pose) -> F32:
        """The landmarks [98, 2] of a head in a pose, without drawing it."""
        return pose_head(self._mesh, head, pose).landmarks().points.astype(np.float32)

    def head(self, z: F32) -> Head:
        """The head of a latent's person."""
        key = z[self.factors.identity].tobytes()
        head = self._heads.get(key)
        if head is None:
            head = build_head(self._mesh, self.factors.identity_of(z), self.look)
            self._heads[key] = head
            if len(self._heads) > _HEADS_KEPT:
                self._heads.popitem(last=False)
        self._heads.move_to_end(key)
        return head
