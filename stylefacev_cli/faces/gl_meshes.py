"""The meshes of a face in OpenGL: vertex arrays with their buffers and textures, a class a subject.

`load…` methods write a head's or pose's numbers into the buffers; vertex arrays draw themselves by
`render()`. Hair cards, hats and the pictures of brows and lashes are made when a head first needs
them: their files belong to the photographic look alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import (
    accessories,
    accessory_shaders,
    cards,
    hair,
    hair_shaders,
    kernels,
    part_shaders,
    shaders,
    skin_shaders,
    skin_textures,
)
from stylefacev_cli.faces.eyes import eye_picture
from stylefacev_cli.faces.gl_context import GlContext
from stylefacev_cli.faces.hair_cards import STYLES, HairCards, hair_style
from stylefacev_cli.faces.hats import Hat, hat_mesh
from stylefacev_cli.faces.head import Head
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.parts import LashSheet, MouthAndEyes
from stylefacev_cli.faces.wrinkles import wrinkle_map

F32 = NDArray[np.float32]

_NOISE_SIZE = 256
_MOVING = ("3f 3f", "position", "normal")
_MOVING_FLOATS = 6


class SkinMesh:
    """Head, neck and shoulders with clothes; both kinds of skin, the depth and the shadow."""

    def __init__(self, gl: GlContext, mesh: FaceMesh) -> None:
        rv = mesh.render_vertex
        traits = [mesh.head_share[rv], mesh.ambient_occlusion[rv], mesh.inside_mouth]
        table = np.column_stack([mesh.canonical[rv], mesh.texture, *traits]).astype(np.float32)
        fixed, triangles = gl.buffer(table), gl.buffer(mesh.render_triangles)
        self._mesh = mesh
        self._vertices = gl.empty_buffer(len(rv), _MOVING_FLOATS)
        moving = (self._vertices, *_MOVING)
        buffers = [moving, (fixed, "3f 2f 3f", "canonical", "texcoord", "traits")]

        def array(vertex: str, fragment: str) -> Any:
            return gl.vertex_array(gl.program(vertex, fragment), buffers, triangles)

        self.painted = array(skin_shaders.SKIN_VERTEX, skin_shaders.SKIN_FRAGMENT)
        self.pictured = array(skin_shaders.SKIN_VERTEX, skin_shaders.PICTURED_SKIN_FRAGMENT)
        self.depth = array(skin_shaders.SKIN_DEPTH_VERTEX, shaders.EMPTY_FRAGMENT)
        self.shadow = gl.vertex_array(
            gl.program(skin_shaders.SKIN_SHADOW_VERTEX, shaders.EMPTY_FRAGMENT),
            [moving, (fixed, "20x 1f 8x", "share")],
            triangles,
        )
        size = mesh.paint_positions.shape[0]
        self._paint = gl.texture(np.zeros((size, size, 4), np.uint8), mipmaps="nearest")
        self._picture = gl.texture(
            np.zeros((skin_textures.HEIGHT, skin_textures.WIDTH, 4), np.uint8)
        )
        folds = gl.texture(wrinkle_map(mesh.paint_positions), mipmaps="nearest")
        gl.bind_texture("paint", self._paint)
        gl.bind_texture("skin_picture", self._picture)
        gl.bind_texture("folds", folds)
        gl.bind_texture("lip_mask", gl.texture(mesh.lip_texture[::-1], repeat=True))

    def load_head(self, head: Head) -> None:
        """Take the head's colours."""
        self._paint.write(head.paint.tobytes())
        self._paint.build_mipmaps()
        if head.skin is not None:
            self._picture.write(head.skin.tobytes())

    def load_vertices(self, vertices: F32) -> None:
        """Take the vertices [V, 3] of a head with expression."""
        normals = kernels.vertex_normals(vertices, self._mesh.skin_triangles)
        table = np.concatenate([vertices, normals], 1)[self._mesh.render_vertex]
        self._vertices.write(table.tobytes())


class MouthAndEyesMesh:
    """Eyeballs, teeth and tongue."""

    def __init__(self, gl: GlContext, mesh: FaceMesh) -> None:
        self._parts = MouthAndEyes(mesh)
        self._vertices = gl.empty_buffer(self._parts.num_vertices, _MOVING_FLOATS)
        program = gl.program(part_shaders.PART_VERTEX, part_shaders.PART_FRAGMENT)
        self.array = _part_array(gl, program, self._vertices, self._parts)
        self._has_photographed_eyes = False
        self._eyes = gl.texture(eye_picture(photographic=False), mipmaps="linear")
        gl.bind_texture("eye_picture", self._eyes)

    def load_head(self, head: Head) -> None:
        """Take the eyes of the head's look."""
        photographic = head.cards is not None
        if photographic != self._has_photographed_eyes:
            self._has_photographed_eyes = photographic
            self._eyes.write(eye_picture(photographic))
            self._eyes.build_mipmaps()

    def load_vertices(self, head: Head, vertices: F32) -> None:
        """Take the vertices [V, 3] of a head with expression."""
        self._vertices.write(self._parts.vertices(head, vertices).tobytes())


class LashMesh:
    """Lashes of the procedural look."""

    def __init__(self, gl: GlContext, mesh: FaceMesh) -> None:
        self._sheet = LashSheet(mesh)
        self._vertices = gl.empty_buffer(self._sheet.num_vertices, _MOVING_FLOATS)
        program = gl.program(part_shaders.PART_VERTEX, part_shaders.LASH_FRAGMENT)
        self.array = _part_array(gl, program, self._vertices, self._sheet)

    def load_vertices(self, vertices: F32) -> None:
        """Take the vertices [V, 3] of a head with expression."""
        self._vertices.write(self._sheet.vertices(vertices).tobytes())


class FaceCardMesh:
    """Brows and lashes of the photographic look."""

    def __init__(self, gl: GlContext) -> None:
        self._gl = gl
        self._vertices = gl.empty_buffer(cards.MAX_VERTICES, _MOVING_FLOATS)
        self._places = gl.empty_buffer(cards.MAX_VERTICES, 3)
        self._triangles = gl.empty_buffer(cards.NUM_TRIANGLES, 3)
        self.array = gl.vertex_array(
            gl.program(part_shaders.CARD_VERTEX, part_shaders.CARD_FRAGMENT),
            [(self._vertices, *_MOVING), (self._places, "3f", "place")],
            self._triangles,
        )
        self._has_pictures = False

    def load_cards(self, face_cards: cards.FaceCards) -> None:
        """Take a person's cards."""
        if not self._has_pictures:
            self._has_pictures = True
            pictures = self._gl.texture(cards.card_pictures(), mipmaps="linear")
            self._gl.bind_texture("cards", pictures)
        self._triangles.write(face_cards.triangles.tobytes())
        self._places.write(face_cards.places.tobytes())

    def load_vertices(self, face_cards: cards.FaceCards, vertices: F32) -> None:
        """Take the vertices [V, 3] of a head with expression."""
        self._vertices.write(face_cards.vertices(vertices).tobytes())


class HairShellMesh:
    """Hair as shells over the scalp."""

    def __init__(self, gl: GlContext) -> None:
        num_vertices = len(hair.SHELL_LEVELS) * hair.SHELL_VERTICES
        self._vertices = gl.empty_buffer(num_vertices, hair.VERTEX_FLOATS)
        triangles = gl.buffer(hair.hair_triangles())
        buffers = [(self._vertices, "3f 3f 3f 4f", "position", "normal", "tangent", "strand")]
        program = gl.program(hair_shaders.HAIR_VERTEX, hair_shaders.HAIR_FRAGMENT)
        self.array = gl.vertex_array(program, buffers, triangles)
        program = gl.program(hair_shaders.HAIR_SHADOW_VERTEX, shaders.EMPTY_FRAGMENT)
        self._shadow = gl.vertex_array(program, buffers, triangles)

    def load_hair(self, shells: hair.Hair) -> None:
        """Take a person's shells."""
        self._vertices.write(shells.vertices.tobytes())

    def render_shadow(self) -> None:
        """Draw the shell whose shadow falls on the head: the second from outside."""
        self._shadow.render(vertices=hair.SHELL_INDICES, first=hair.SHELL_INDICES)


class HairCardMesh(NamedTuple):
    """A style of hair cards."""

    vertices: Any
    picture: Any
    solid: Any  # opaque parts, the outermost first
    soft: Any  # blended edges, the innermost first
    shadow: Any


class HairCardMeshes:
    """The styles of hair cards that heads have had so far."""

    def __init__(self, gl: GlContext) -> None:
        self._gl = gl
        self._program = gl.program(hair_shaders.HAIR_CARD_VERTEX, hair_shaders.HAIR_CARD_FRAGMENT)
        self._shadow_program = gl.program(
            hair_shaders.HAIR_CARD_SHADOW_VERTEX, hair_shaders.HAIR_CARD_SHADOW_FRAGMENT
        )
        gl.texture_unit("card_map")
        self._styles: dict[str, HairCardMesh] = {}

    def load_hair(self, hair_cards: HairCards) -> HairCardMesh:
        """The mesh of a person's style, with the person's vertices and side of the parting."""
        if hair_cards.style not in self._styles:
            self._styles[hair_cards.style] = self._make(hair_cards.style)
        mesh = self._styles[hair_cards.style]
        mesh.vertices.write(hair_cards.vertices.tobytes())
        self._gl.bind_texture("card_map", mesh.picture)
        self._gl.set_uniforms(
            {
                "worn_side": -1.0 if hair_cards.is_mirrored else 1.0,
                "curls": STYLES[hair_cards.style].curls,
            }
        )
        return mesh

    def _make(self, name: str) -> HairCardMesh:
        gl, style = self._gl, hair_style(name)
        vertices = gl.empty_buffer(len(style.attributes), _MOVING_FLOATS)
        attributes = ("2f 1f 1f 3f", "texcoord", "cut", "openness", "tangent")
        buffers = [(vertices, *_MOVING), (gl.buffer(style.attributes), *attributes)]
        outwards, inwards = gl.buffer(style.triangles), gl.buffer(style.triangles[::-1])
        return HairCardMesh(
            vertices,
            picture=gl.texture(style.picture, repeat=True, mipmaps="nearest"),
            solid=gl.vertex_array(self._program, buffers, inwards),
            soft=gl.vertex_array(self._program, buffers, outwards),
            shadow=gl.vertex_array(self._shadow_program, buffers, inwards),
        )


class HatMesh(NamedTuple):
    """A hat."""

    vertices: Any
    solid: Any
    shadow: Any


class HatMeshes:
    """The hats that heads have worn so far."""

    def __init__(self, gl: GlContext) -> None:
        self._gl = gl
        self._program = gl.program(accessory_shaders.HAT_VERTEX, accessory_shaders.HAT_FRAGMENT)
        self._shadow_program = gl.program(
            accessory_shaders.HAT_SHADOW_VERTEX, shaders.EMPTY_FRAGMENT
        )
        self._hats: dict[str, HatMesh] = {}

    def load_hat(self, hat: Hat) -> HatMesh:
        """The mesh of a hat, where the person wears it."""
        if hat.name not in self._hats:
            self._hats[hat.name] = self._make(hat.name)
        mesh = self._hats[hat.name]
        mesh.vertices.write(hat.vertices.tobytes())
        return mesh

    def _make(self, name: str) -> HatMesh:
        gl, mesh = self._gl, hat_mesh(name)
        vertices = gl.empty_buffer(len(mesh.references), _MOVING_FLOATS)
        triangles = gl.buffer(mesh.joined_triangles)
        return HatMesh(
            vertices,
            solid=gl.vertex_array(self._program, [(vertices, *_MOVING)], triangles),
            shadow=gl.vertex_array(self._shadow_program, [(vertices, *_MOVING)], triangles),
        )


class AccessoryMesh:
    """Glasses and earrings."""

    def __init__(self, gl: GlContext) -> None:
        triangles = accessories.accessory_triangles()
        num_vertices = int(triangles.max()) + 1
        self._vertices = gl.empty_buffer(num_vertices, accessories.VERTEX_FLOATS)
        self.array = gl.vertex_array(
            gl.program(accessory_shaders.ACCESSORY_VERTEX, accessory_shaders.ACCESSORY_FRAGMENT),
            [(self._vertices, "3f 3f 2f", "position", "normal", "kind")],
            gl.buffer(triangles),
        )

    def load_head(self, head: Head) -> None:
        """Take what the person wears."""
        self._vertices.write(head.accessories.tobytes())


def background_array(gl: GlContext) -> Any:
    """The background: one triangle that covers the frame."""
    program = gl.program(shaders.BACKGROUND_VERTEX, shaders.BACKGROUND_FRAGMENT)
    corners = np.array([-1, -1, 3, -1, -1, 3], np.float32)
    return gl.vertex_array(program, [(gl.buffer(corners), "2f", "corner")])


def bind_noise(gl: GlContext) -> None:
    """Let the shaders' `noise` be tileable noise [256, 256, 4] with a flat histogram.

    From coarse to fine the channels are B, R, G, A.
    """
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_NOISE_SIZE) * _NOISE_SIZE
    radius = np.hypot(frequency[:, None], frequency[None])
    layers = []
    for grain in (14, 40, 6, 90):  # highest frequency, periods a picture
        white = np.fft.fft2(rng.standard_normal((_NOISE_SIZE, _NOISE_SIZE)))
        smooth = np.fft.ifft2(white * np.exp(-((radius / grain) ** 2))).real
        rank = smooth.ravel().argsort().argsort().reshape(smooth.shape)
        layers.append(rank / rank.size)
    pixels = np.asarray(np.stack(layers, -1) * 255).astype(np.uint8)
    gl.bind_texture("noise", gl.texture(pixels, repeat=True, mipmaps="nearest"))


def _part_array(gl: GlContext, program: Any, vertices: Any, part: MouthAndEyes | LashSheet) -> Any:
    buffers = [(vertices, *_MOVING), (gl.buffer(part.kinds), "4f", "kind")]
    return gl.vertex_array(program, buffers, gl.buffer(part.triangles))
