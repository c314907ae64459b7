"""The renderer: a head, a scene and a pose → a picture with its landmarks.

moderngl on EGL; Mesa's llvmpipe serves on a machine without a GPU. Each renderer has a
context of its own.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.faces import (
    accessories,
    cards,
    hair,
    hair_shaders,
    kernels,
    lighting,
    part_shaders,
    shaders,
    skin_shaders,
    skins,
    worn_shaders,
)
from stylefacev_cli.faces.brows import brow_color, brow_opacity
from stylefacev_cli.faces.camera import NECK_PIVOT, View
from stylefacev_cli.faces.eyes import eye_picture
from stylefacev_cli.faces.hair_cards import hair_style
from stylefacev_cli.faces.hats import hat_mesh
from stylefacev_cli.faces.head import Head
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.parameters import Pose, Scene
from stylefacev_cli.faces.parts import LashSheet, MouthAndEyes
from stylefacev_cli.faces.posing import PosedHead, SeenLandmarks, pose_head
from stylefacev_cli.faces.wrinkles import wrinkle_map

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

# Landmarks this far behind what is drawn are hidden; the inner lips lie in their own fold.
_HIDDEN_DM = np.where(np.isin(np.arange(98), np.arange(88, 96)), 0.10, 0.06)
_NOISE_SIZE = 256
HAIR_BLOCK_PX = 4  # side of the blocks of `FaceFrame.hair`
_HAIR_CARD_UNIT = 15  # of the texture of the style that is drawn


class FaceFrame(NamedTuple):
    """A rendered frame and what is known about it."""

    image: U8  # [S, S, 3] sRGB
    landmarks: F32  # [98, 2] fractions of the frame, x right, y down
    # [98] inside the frame, not behind skin or hair; a far cheek's jaw is hidden, though its
    # landmarks then lie on the visible outline
    visible: NDArray[np.bool_]
    expressions: F32  # [52]
    hair: U8  # [S // 4, S // 4] share of each block of 4 × 4 pixels that shows hair


class _HairCardArrays(NamedTuple):
    """GL objects of a style of hair cards."""

    vertices: Any
    picture: Any
    solid: Any  # opaque parts, the outermost first
    soft: Any  # blended edges, the innermost first
    shadow: Any


class _HatArrays(NamedTuple):
    """GL objects of a hat."""

    vertices: Any
    solid: Any
    shadow: Any


class FaceRenderer:
    """Draws heads; keeps the GL context, its buffers, and the head and scene drawn last."""

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
        self._context = _open_context()
        self._head: Head | None = None
        self._scene: Scene | None = None
        self._programs: list[Any] = []
        self._has_eyes_of_photograph = False
        self._card_pictures: Any = None  # read when a head needs them
        self._parts = MouthAndEyes(mesh)
        self._lashes = LashSheet(mesh)
        self._build_targets()
        self._build_arrays()

    def render(self, head: Head, scene: Scene, pose: Pose) -> FaceFrame:
        """Draw one frame of a person in a scene and pose."""
        posed = pose_head(self.mesh, head, pose)
        seen = posed.landmarks()
        with self._context:  # another renderer of this process may have been at work since
            self._use_head(head)
            self._use_scene(scene, head)
            self._upload(posed)
            self._draw()
            pixels = self._read_pixels()
            image = _shrink(pixels, self.supersampling)
            hair_share = _share_of_hair(pixels, self.supersampling * HAIR_BLOCK_PX)
            visible = self._visible(seen, posed.view)
        return FaceFrame(
            image, seen.points.astype(np.float32), visible, posed.expressions, hair_share
        )

    # --- what is drawn -----------------------------------------------------------------------

    def _use_head(self, head: Head) -> None:
        if head is self._head:
            return
        self._head = head
        self._scene = None  # the exposure depends on the head
        self._wears_something = head.identity.glasses + head.identity.earrings > 0
        if head.hair is not None:
            self._hair_buffer.write(head.hair.vertices.tobytes())
        self._hair_cards = None
        if head.hair_cards is not None:
            self._hair_cards = self._hair_card_arrays(head.hair_cards.style)
            self._hair_cards.vertices.write(head.hair_cards.vertices.tobytes())
            self._set({"worn_side": -1.0 if head.hair_cards.is_mirrored else 1.0})
        self._hat = None
        no_rim = (0.0, 0.0, 99.0)
        if head.hat is not None:
            self._hat = self._hat_arrays(head.hat.name)
            self._hat.vertices.write(head.hat.vertices.tobytes())
        self._set({"hat_rim": no_rim if head.hat is None else head.hat.rim})
        self._accessory_buffer.write(head.accessories.tobytes())
        self._paint.write(head.paint.tobytes())
        self._paint.build_mipmaps()
        if head.skin is not None:
            self._skin.write(head.skin.tobytes())
        self._set(lighting.identity_uniforms(head.identity))
        self._use_eyes(head.cards is not None)
        if head.cards is not None:
            self._use_cards(head.cards)
            self._set({"brow_color": (*brow_color(head.identity), brow_opacity(head.identity))})

    def _use_eyes(self, photographic: bool) -> None:
        if photographic != self._has_eyes_of_photograph:
            self._has_eyes_of_photograph = photographic
            self._textures["eye_picture"].write(eye_picture(photographic))
            self._textures["eye_picture"].build_mipmaps()

    def _use_cards(self, face_cards: cards.FaceCards) -> None:
        if self._card_pictures is None:
            pictures = cards.card_pictures()
            self._card_pictures = self._add_picture("cards", pictures)
        self._card_index.write(face_cards.triangles.tobytes())
        self._card_places.write(face_cards.places.tobytes())

    def _use_scene(self, scene: Scene, head: Head) -> None:
        if scene != self._scene:
            self._scene = scene
            self._set(lighting.scene_uniforms(scene, head.identity))

    def _upload(self, posed: PosedHead) -> None:
        mesh, vertices, view = self.mesh, posed.vertices, posed.view
        normals = kernels.vertex_normals(vertices, mesh.skin_triangles)
        skin = np.concatenate([vertices, normals], 1)[mesh.render_vertex]
        self._skin_buffer.write(skin.tobytes())
        self._part_buffer.write(self._parts.vertices(posed.head, vertices).tobytes())
        if posed.head.cards is not None:
            self._card_buffer.write(posed.head.cards.vertices(vertices).tobytes())
        else:
            self._lash_buffer.write(self._lashes.vertices(vertices).tobytes())
        self._set(
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

    def _draw(self) -> None:
        gl, arrays = self._context, self._arrays
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        self._set({"is_hair": 0.0})
        arrays["skin_shadow"].render()
        self._set({"is_hair": 1.0})
        shell, has_shells = hair.SHELL_INDICES, self._head.hair is not None
        if has_shells and self._hat is None:  # one of the inner ones casts the shadow
            arrays["hair_shadow"].render(vertices=shell, first=shell)
        if self._hair_cards is not None:
            self._hair_cards.picture.use(_HAIR_CARD_UNIT)
            self._hair_cards.shadow.render()
        if self._hat is not None:
            self._hat.shadow.render()

        self._target.use()
        self._target.clear(depth=1.0)
        # Depth first: the skin's costly shader then runs once a pixel, and not below the hair.
        gl.enable(self._gl.CULL_FACE)
        arrays["skin_depth"].render()
        gl.depth_func = "<="
        gl.disable(self._gl.CULL_FACE)
        if has_shells:
            arrays["hair"].render()
        if self._hair_cards is not None:
            self._set({"solid": 1.0})
            self._hair_cards.solid.render()
        if self._hat is not None:
            self._hat.solid.render()
        gl.enable(self._gl.CULL_FACE)
        pictured = self._head is not None and self._head.skin is not None
        arrays["pictured_skin" if pictured else "skin"].render()
        gl.disable(self._gl.CULL_FACE)
        gl.depth_func = "<"
        arrays["parts"].render()
        arrays["background"].render()  # where nothing else is
        gl.enable(self._gl.BLEND)
        self._target.depth_mask = False
        arrays["cards" if self._head is not None and self._head.cards else "lashes"].render()
        if self._hair_cards is not None:  # the strands' soft edges
            self._set({"solid": 0.0})
            self._hair_cards.soft.render()
        # What is worn writes no depth either: landmarks behind glass stay visible.
        gl.enable(self._gl.CULL_FACE)
        if self._wears_something:
            arrays["accessories"].render()
        gl.disable(self._gl.CULL_FACE)
        self._target.depth_mask = True
        gl.disable(self._gl.BLEND)

    def _read_pixels(self) -> U8:
        side = self.size_px * self.supersampling
        data = self._target.read(components=4, alignment=1)
        return np.frombuffer(data, np.uint8).reshape(side, side, 4)  # bottom row first

    def _visible(self, seen: SeenLandmarks, view: View) -> NDArray[np.bool_]:
        landmarks, depth, turned_away = seen
        side = self.size_px * self.supersampling
        drawn = np.frombuffer(self._depth.read(alignment=1), np.float32).reshape(side, side)
        column = np.floor(landmarks[:, 0] * side).astype(int)
        row = np.floor((1 - landmarks[:, 1]) * side).astype(int)
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        # At an outline one neighbour shows the surface itself: take the farthest of the five.
        farthest = np.full(len(landmarks), -1.0)
        for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
            y, x = np.clip(row + dy, 0, side - 1), np.clip(column + dx, 0, side - 1)
            farthest = np.maximum(farthest, drawn[y, x])
        behind = _distance(depth, view) - _distance(farthest, view)
        return np.asarray(inside & (behind < _HIDDEN_DM) & ~turned_away)

    # --- GL objects --------------------------------------------------------------------------

    def _build_targets(self) -> None:
        import moderngl

        self._gl = moderngl
        gl, side = self._context, self.size_px * self.supersampling
        self._depth = gl.depth_texture((side, side))
        self._target = gl.framebuffer([gl.texture((side, side), 4)], self._depth)
        self._shadow = gl.depth_texture((shaders.SHADOW_SIZE, shaders.SHADOW_SIZE))
        self._shadow.compare_func = "<="
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shadow_target = gl.framebuffer([], self._shadow)
        gl.enable(moderngl.DEPTH_TEST)
        gl.blend_func = (  # alpha keeps what solid things wrote
            moderngl.SRC_ALPHA,
            moderngl.ONE_MINUS_SRC_ALPHA,
            moderngl.ZERO,
            moderngl.ONE,
        )

        lips = self.mesh.lip_texture
        lip_mask = gl.texture(lips.shape[::-1], 1, np.ascontiguousarray(lips[::-1]).tobytes())
        noise = gl.texture((_NOISE_SIZE, _NOISE_SIZE), 4, _strand_noise().tobytes())
        size = self.mesh.paint_positions.shape[0]
        self._paint = gl.texture((size, size), 4)
        self._paint.repeat_x = self._paint.repeat_y = False
        self._skin = gl.texture((skins.WIDTH, skins.HEIGHT), 4)
        self._skin.repeat_x = self._skin.repeat_y = False
        folds = gl.texture((size, size), 4, wrinkle_map(self.mesh.paint_positions).tobytes())
        folds.repeat_x = folds.repeat_y = False
        for texture in (noise, folds, self._paint):
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        self._textures = {
            "shadow_map": self._shadow,
            "paint": self._paint,
            "skin_picture": self._skin,
            "folds": folds,
            "lip_mask": lip_mask,
            "noise": noise,
        }

    def _build_arrays(self) -> None:
        gl, mesh = self._context, self.mesh
        skin = self._program(skin_shaders.SKIN_VERTEX, skin_shaders.SKIN_FRAGMENT)
        pictured = self._program(skin_shaders.SKIN_VERTEX, skin_shaders.PICTURED_SKIN_FRAGMENT)
        depth = self._program(skin_shaders.SKIN_DEPTH_VERTEX, shaders.EMPTY_FRAGMENT)
        part = self._program(part_shaders.PART_VERTEX, part_shaders.PART_FRAGMENT)
        lash = self._program(part_shaders.PART_VERTEX, part_shaders.LASH_FRAGMENT)
        worn = self._program(worn_shaders.ACCESSORY_VERTEX, worn_shaders.ACCESSORY_FRAGMENT)
        card = self._program(part_shaders.CARD_VERTEX, part_shaders.CARD_FRAGMENT)
        strand = self._program(hair_shaders.HAIR_VERTEX, hair_shaders.HAIR_FRAGMENT)
        shadow = self._program(shaders.SHADOW_VERTEX, shaders.EMPTY_FRAGMENT)
        background = self._program(shaders.BACKGROUND_VERTEX, shaders.BACKGROUND_FRAGMENT)
        self._hair_card_program = self._program(
            hair_shaders.HAIR_CARD_VERTEX, hair_shaders.HAIR_CARD_FRAGMENT
        )
        self._hair_card_shadow_program = self._program(
            hair_shaders.HAIR_CARD_SHADOW_VERTEX, hair_shaders.HAIR_CARD_SHADOW_FRAGMENT
        )
        self._hat_program = self._program(worn_shaders.HAT_VERTEX, worn_shaders.HAT_FRAGMENT)
        self._hat_shadow_program = self._program(
            worn_shaders.HAT_SHADOW_VERTEX, shaders.EMPTY_FRAGMENT
        )
        self._hats: dict[str, _HatArrays] = {}
        self._hat: _HatArrays | None = None
        self._card_styles: dict[str, _HairCardArrays] = {}
        self._hair_cards: _HairCardArrays | None = None

        rv = mesh.render_vertex
        traits = [mesh.head_share[rv], mesh.ambient_occlusion[rv], mesh.inside_mouth]
        fixed = np.column_stack([mesh.canonical[rv], mesh.texture, *traits]).astype(np.float32)
        fixed_buffer = gl.buffer(fixed.tobytes())
        self._skin_buffer = gl.buffer(reserve=len(rv) * 24)
        self._part_buffer = gl.buffer(reserve=self._parts.num_vertices * 24)
        self._lash_buffer = gl.buffer(reserve=self._lashes.num_vertices * 24)
        self._card_buffer = gl.buffer(reserve=cards.MAX_VERTICES * 24)
        self._card_places = gl.buffer(reserve=cards.MAX_VERTICES * 12)
        self._card_index = gl.buffer(reserve=cards.NUM_TRIANGLES * 12)
        num_hair = len(hair.SHELL_LEVELS) * hair.SHELL_VERTICES
        self._hair_buffer = gl.buffer(reserve=num_hair * hair.VERTEX_FLOATS * 4)
        worn_triangles = accessories.accessory_triangles()
        num_worn = int(worn_triangles.max()) + 1
        self._accessory_buffer = gl.buffer(reserve=num_worn * accessories.VERTEX_FLOATS * 4)
        triangles = gl.buffer(mesh.render_triangles.tobytes())
        hair_triangles = gl.buffer(hair.hair_triangles().tobytes())
        corners = np.array([-1, -1, 3, -1, -1, 3], np.float32)

        moving = (self._skin_buffer, "3f 3f", "position", "normal")
        moving_cards = (self._card_buffer, "3f 3f", "position", "normal")
        all_traits = (fixed_buffer, "3f 2f 3f", "canonical", "texcoord", "traits")
        strands = "3f 3f 3f 4f", "position", "normal", "tangent", "strand"
        self._arrays = {
            "skin": _array(gl, skin, [moving, all_traits], triangles),
            "pictured_skin": _array(gl, pictured, [moving, all_traits], triangles),
            "skin_depth": _array(gl, depth, [moving, all_traits], triangles),
            "skin_shadow": _array(
                gl, shadow, [moving, (fixed_buffer, "20x 1f 8x", "share")], triangles
            ),
            "parts": self._part_array(part, self._part_buffer, self._parts),
            "lashes": self._part_array(lash, self._lash_buffer, self._lashes),
            "cards": _array(
                gl, card, [moving_cards, (self._card_places, "3f", "place")], self._card_index
            ),
            "accessories": _array(
                gl,
                worn,
                [(self._accessory_buffer, "3f 3f 2f", "position", "normal", "kind")],
                gl.buffer(worn_triangles.tobytes()),
            ),
            "hair": _array(gl, strand, [(self._hair_buffer, *strands)], hair_triangles),
            "hair_shadow": _array(gl, shadow, [(self._hair_buffer, *strands)], hair_triangles),
            "background": _array(gl, background, [(gl.buffer(corners.tobytes()), "2f", "corner")]),
        }
        self._members: dict[str, list[Any]] = {}
        for program in self._programs:
            for name in program:
                self._members.setdefault(name, []).append(program[name])
        for unit, (name, texture) in enumerate(self._textures.items()):
            texture.use(unit)
            self._set({name: unit})
        self._set({"card_map": _HAIR_CARD_UNIT})
        self._add_picture("eye_picture", eye_picture(photographic=False))
        self._set({"pivot": tuple(NECK_PIVOT), "samples": float(self.supersampling)})

    def _hair_card_arrays(self, style_name: str) -> _HairCardArrays:
        """What draws a style of hair; made when it is first drawn."""
        if style_name in self._card_styles:
            return self._card_styles[style_name]
        gl, style = self._context, hair_style(style_name)
        size = style.picture.shape[0]
        picture = gl.texture((size, size), 2, style.picture.tobytes())
        picture.build_mipmaps()
        picture.filter = (self._gl.LINEAR_MIPMAP_NEAREST, self._gl.LINEAR)
        vertices = gl.buffer(reserve=len(style.attributes) * 24)
        buffers = [
            (vertices, "3f 3f", "position", "normal"),
            (
                gl.buffer(style.attributes.tobytes()),
                "2f 1f 1f 3f", "texcoord", "cut", "openness", "tangent",
            ),
        ]  # fmt: skip
        outwards = gl.buffer(style.triangles.tobytes())
        inwards = gl.buffer(np.ascontiguousarray(style.triangles[::-1]).tobytes())
        made = _HairCardArrays(
            vertices,
            picture,
            solid=_array(gl, self._hair_card_program, buffers, inwards),
            soft=_array(gl, self._hair_card_program, buffers, outwards),
            shadow=_array(gl, self._hair_card_shadow_program, buffers, inwards),
        )
        self._card_styles[style_name] = made
        return made

    def _hat_arrays(self, name: str) -> _HatArrays:
        """What draws a hat; made when it is first drawn."""
        if name not in self._hats:
            gl, mesh = self._context, hat_mesh(name)
            vertices = gl.buffer(reserve=len(mesh.references) * 24)
            buffers = [(vertices, "3f 3f", "position", "normal")]
            triangles = gl.buffer(mesh.joined_triangles.tobytes())
            self._hats[name] = _HatArrays(
                vertices,
                solid=_array(gl, self._hat_program, buffers, triangles),
                shadow=_array(gl, self._hat_shadow_program, buffers, triangles),
            )
        return self._hats[name]

    def _add_picture(self, name: str, picture: U8) -> Any:
        """A texture with mipmaps [H, W] or [H, W, 4], under the next unit."""
        height, width = picture.shape[:2]
        num = 1 if picture.ndim == 2 else picture.shape[2]
        texture = self._context.texture((width, height), num, np.ascontiguousarray(picture))
        texture.build_mipmaps()
        texture.filter = (self._gl.LINEAR_MIPMAP_LINEAR, self._gl.LINEAR)
        texture.repeat_x = texture.repeat_y = False
        unit = len(self._textures)
        self._textures[name] = texture
        texture.use(unit)
        self._set({name: unit})
        return texture

    def _part_array(self, program: Any, moving: Any, part: MouthAndEyes | LashSheet) -> Any:
        gl = self._context
        kinds = (gl.buffer(part.kinds.tobytes()), "4f", "kind")
        buffers = [(moving, "3f 3f", "position", "normal"), kinds]
        return _array(gl, program, buffers, gl.buffer(part.triangles.tobytes()))

    def _program(self, vertex: str, fragment: str) -> Any:
        program = self._context.program(
            vertex_shader=shaders.source(vertex), fragment_shader=shaders.source(fragment)
        )
        self._programs.append(program)
        return program

    def _set(self, uniforms: lighting.Uniforms) -> None:
        for name, value in uniforms.items():
            for member in self._members.get(name, ()):
                if isinstance(value, np.ndarray):  # matrices are column-major in GL
                    table = value.T if value.shape == (4, 4) else value
                    member.write(np.ascontiguousarray(table, np.float32).tobytes())
                else:
                    member.value = value


def _open_context() -> Any:
    # Threads of llvmpipe only help large pictures; sets are rendered by several processes.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        import moderngl
    except ImportError as error:
        raise StyleFaceVError(
            "rendering needs moderngl: pip install 'stylefacev[render]'"
        ) from error
    try:
        settings: dict[str, Any] = {"backend": "egl"}
        return moderngl.create_context(standalone=True, **settings)
    except Exception as error:  # moderngl raises bare Exceptions here
        raise StyleFaceVError(
            f"rendering needs EGL ({error}): install libegl1 libegl-mesa0 libgl1-mesa-dri"
        ) from error


def _array(gl: Any, program: Any, buffers: list[tuple[Any, ...]], index: Any = None) -> Any:
    """A vertex array of the attributes that the program has; others are skipped over."""
    used = []
    for buffer, formats, *names in buffers:
        kept_formats, kept_names, waiting = [], [], list(names)
        for item in formats.split():
            if item.endswith("x"):
                kept_formats.append(item)
                continue
            name = waiting.pop(0)
            if name in program:
                kept_formats.append(item)
                kept_names.append(name)
            else:
                kept_formats.append(f"{4 * int(item[:-1])}x")
        if kept_names:
            used.append((buffer, " ".join(kept_formats), *kept_names))
    return gl.vertex_array(program, used, index)


def _distance(depth: F64, view: View) -> F64:
    """Distance from the camera (dm) of window depths."""
    a, b = _depth_terms(view)
    return np.asarray(b / (2 * depth - 1 + a))


def _depth_terms(view: View) -> tuple[float, float]:
    # The third row of the projection is (0, 0, a, b) before the camera's shift.
    matrix = view.view_projection
    a = float(matrix[2, 2])
    return a, float(matrix[2, 3] + a * view.position[2])


def _strand_noise() -> U8:
    """Tileable noise [256, 256, 4] with a flat histogram, at four grains."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_NOISE_SIZE) * _NOISE_SIZE
    radius = np.hypot(frequency[:, None], frequency[None])
    layers = []
    for grain in (14, 40, 6, 90):
        white = np.fft.fft2(rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE)))
        smooth = np.fft.ifft2(white * np.exp(-((radius / grain) ** 2))).real
        rank = smooth.ravel().argsort().argsort().reshape(smooth.shape)
        layers.append(rank / rank.size)
    return np.asarray(np.stack(layers, -1) * 255).astype(np.uint8)


@njit(cache=True)
def _shrink(pixels: U8, factor: int) -> U8:
    """Average boxes of pixels and turn the picture upright: [F*S, F*S, 4] → [S, S, 3]."""
    size = pixels.shape[0] // factor
    out = np.empty((size, size, 3), np.uint8)
    area = factor * factor
    for row in range(size):
        for column in range(size):
            for c in range(3):
                total = area // 2
                for y in range(factor):
                    for x in range(factor):
                        total += pixels[(size - 1 - row) * factor + y, column * factor + x, c]
                out[row, column, c] = total // area
    return out


@njit(cache=True)
def _share_of_hair(pixels: U8, block: int) -> U8:
    """How much of each block of pixels is hair, upright: [B*S, B*S, 4] → [S, S], 255 for all."""
    size = pixels.shape[0] // block
    out = np.empty((size, size), np.uint8)
    top = pixels.shape[0] - 1
    for row in range(size):
        for column in range(size):
            count = 0
            for y in range(block):
                for x in range(block):
                    mark = pixels[top - row * block - y, column * block + x, 3]
                    count += 100 < mark < 156
            out[row, column] = (255 * count) // (block * block)
    return out
