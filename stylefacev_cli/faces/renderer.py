"""The renderer: a head, a scene and a pose → a picture with its landmarks.

Each renderer has an OpenGL context of its own (`gl_context`); `gl_meshes` holds what is drawn, and
`readback` makes picture and labels of what was drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import lighting
from stylefacev_cli.faces.brows import brow_color, brow_opacity
from stylefacev_cli.faces.camera import NECK_PIVOT
from stylefacev_cli.faces.gl_context import GlContext, PictureTarget, ShadowTarget
from stylefacev_cli.faces.gl_meshes import (
    AccessoryMesh,
    FaceCardMesh,
    HairCardMesh,
    HairCardMeshes,
    HairShellMesh,
    HatMesh,
    HatMeshes,
    LashMesh,
    MouthAndEyesMesh,
    SkinMesh,
    background_array,
    bind_noise,
)
from stylefacev_cli.faces.head import Head
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.parameters import Identity, Pose, Scene
from stylefacev_cli.faces.posed_head import PosedHead, pose_head
from stylefacev_cli.faces.readback import hair_share, shrink, visible_landmarks

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

HAIR_BLOCK_PX = 4  # side of the blocks of `FaceFrame.hair`
_NO_RIM = (0.0, 0.0, 99.0)  # the plane of `Hat.rim` for those without a hat: above everything


class FaceFrame(NamedTuple):
    """A rendered frame and what is known about it."""

    image: U8  # [S, S, 3] sRGB
    landmarks: F32  # [98, 2] fractions of the frame, x right, y down
    # [98] inside the frame, not behind skin or hair; a far cheek's jaw is hidden, though its
    # landmarks then lie on the visible outline
    visible: NDArray[np.bool_]
    expressions: F32  # [52]
    hair: U8  # [S // 4, S // 4] share of each block of 4 × 4 pixels that shows hair


class FaceRenderer:
    """Draws heads; keeps a GL context with the meshes, and the head and scene drawn last."""

    def __init__(self, mesh: FaceMesh, size_px: int, supersampling: int | None = None) -> None:
        """Open a GL context.

        Args:
            mesh: the face mesh.
            size_px: side of the pictures.
            supersampling: samples a pixel along each side; 3 for small pictures, else 2.

        Raises:
            StyleFaceVError: moderngl or EGL is not there.
        """
        self.mesh = mesh
        self.size_px = size_px
        self.supersampling = supersampling or (3 if size_px <= 128 else 2)
        gl = self._gl = GlContext()
        self._target = PictureTarget(gl, size_px * self.supersampling)
        self._shadow_map = ShadowTarget(gl)
        bind_noise(gl)
        self._skin = SkinMesh(gl, mesh)
        self._mouth_and_eyes = MouthAndEyesMesh(gl, mesh)
        self._lashes = LashMesh(gl, mesh)
        self._face_cards = FaceCardMesh(gl)
        self._hair_shells = HairShellMesh(gl)
        self._hair_styles = HairCardMeshes(gl)
        self._hats = HatMeshes(gl)
        self._accessories = AccessoryMesh(gl)
        self._background = background_array(gl)
        gl.set_uniforms({"pivot": tuple(NECK_PIVOT), "samples": float(self.supersampling)})
        # What was loaded last.
        self._head: Head | None = None
        self._hair_cards: HairCardMesh | None = None
        self._hat: HatMesh | None = None
        self._scene: tuple[Scene, Identity] | None = None

    def render(self, head: Head, scene: Scene, pose: Pose) -> FaceFrame:
        """Draw one frame of a person in a scene and pose."""
        posed = pose_head(self.mesh, head, pose)
        seen = posed.landmarks()
        with self._gl.context:  # another renderer of this process may have been at work since
            self._load_head(head)
            self._load_scene(scene, head.identity)
            self._load_pose(posed)
            self._draw_shadows(head)
            self._draw_picture(head)
            pixels, depth = self._target.read_pixels(), self._target.read_depth()
        return FaceFrame(
            image=shrink(pixels, self.supersampling),
            landmarks=seen.points.astype(np.float32),
            visible=visible_landmarks(seen, depth, posed.view),
            expressions=posed.expressions,
            hair=hair_share(pixels, self.supersampling * HAIR_BLOCK_PX),
        )

    # --- loading -----------------------------------------------------------------------------

    def _load_head(self, head: Head) -> None:
        """Write what stays the same in all poses."""
        if head is self._head:
            return
        self._head = head
        self._skin.load_head(head)
        self._mouth_and_eyes.load_head(head)
        self._accessories.load_head(head)
        self._load_hair(head)
        self._hat = self._hats.load_hat(head.hat) if head.hat is not None else None
        self._gl.set_uniforms({"hat_rim": head.hat.rim if head.hat is not None else _NO_RIM})
        self._gl.set_uniforms(lighting.identity_uniforms(head.identity))
        if head.cards is not None:
            self._face_cards.load_cards(head.cards)
            color = (*brow_color(head.identity), brow_opacity(head.identity))
            self._gl.set_uniforms({"brow_color": color})

    def _load_hair(self, head: Head) -> None:
        self._hair_cards = None
        if head.hair is not None:
            self._hair_shells.load_hair(head.hair)
        if head.hair_cards is not None:
            self._hair_cards = self._hair_styles.load_hair(head.hair_cards)

    def _load_scene(self, scene: Scene, identity: Identity) -> None:
        """Set light and background; the exposure depends on the person."""
        if (scene, identity) != self._scene:
            self._scene = (scene, identity)
            self._gl.set_uniforms(lighting.scene_uniforms(scene, identity))

    def _load_pose(self, posed: PosedHead) -> None:
        """Write what changes with every frame."""
        head, vertices, view = posed.head, posed.vertices, posed.view
        self._skin.load_vertices(vertices)
        self._mouth_and_eyes.load_vertices(head, vertices)
        if head.cards is not None:
            self._face_cards.load_vertices(head.cards, vertices)
        else:
            self._lashes.load_vertices(vertices)
        self._gl.set_uniforms(
            {
                "axis": tuple(view.axis),
                "angle": view.angle,
                "view_projection": view.view_projection,
                "camera": tuple(view.position),
                "gaze": posed.gaze,
                "world_gaze": posed.world_gaze(),
                "lids": posed.lid_curves(),
                "wrinkles": tuple(posed.wrinkles),
                "parted": posed.lips_parted(),
            }
        )

    # --- drawing -----------------------------------------------------------------------------

    def _draw_shadows(self, head: Head) -> None:
        """Draw the shadow map: skin, hair and hat as the key light sees them."""
        self._shadow_map.clear()
        self._skin.shadow.render()
        if head.hair is not None and self._hat is None:
            self._hair_shells.render_shadow()
        if self._hair_cards is not None:
            self._hair_cards.shadow.render()
        if self._hat is not None:
            self._hat.shadow.render()

    def _draw_picture(self, head: Head) -> None:
        """Draw the head before its background: what is solid, then what is blended over it."""
        gl = self._gl.context
        self._target.clear()
        # Depth first: the skin's costly shader then runs once a pixel, and not below the hair.
        with self._gl.enabled(gl.CULL_FACE):
            self._skin.depth.render()
        gl.depth_func = "<="
        self._draw_hair_and_hat(head)
        with self._gl.enabled(gl.CULL_FACE):
            (self._skin.painted if head.skin is None else self._skin.pictured).render()
        gl.depth_func = "<"
        self._mouth_and_eyes.array.render()
        self._background.render()  # where nothing else is
        with self._gl.enabled(gl.BLEND):
            # None of these write depth: landmarks behind glass stay visible.
            self._target.framebuffer.depth_mask = False
            self._draw_blended(head)
            self._target.framebuffer.depth_mask = True

    def _draw_hair_and_hat(self, head: Head) -> None:
        if head.hair is not None:
            self._hair_shells.array.render()
        if self._hair_cards is not None:
            self._gl.set_uniforms({"solid": 1.0})
            self._hair_cards.solid.render()
        if self._hat is not None:
            self._hat.solid.render()

    def _draw_blended(self, head: Head) -> None:
        """Draw lashes and brows, the soft edges of hair cards, glasses and earrings."""
        (self._lashes if head.cards is None else self._face_cards).array.render()
        if self._hair_cards is not None:
            self._gl.set_uniforms({"solid": 0.0})
            self._hair_cards.soft.render()
        if head.identity.glasses + head.identity.earrings > 0:
            with self._gl.enabled(self._gl.context.CULL_FACE):
                self._accessories.array.render()
