"""An OpenGL context without a window, with programs, buffers, textures and render targets.

moderngl on EGL; Mesa's llvmpipe serves on a machine without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.faces.shaders import SHADOW_SIZE, source

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Uniforms = dict[str, object]


class GlContext:
    """One OpenGL context; uniforms and textures go by their names in the shaders.

    A uniform or texture is set in all programs that have its name. `context` is moderngl's.
    """

    def __init__(self) -> None:
        """Open the context.

        Raises:
            StyleFaceVError: moderngl or EGL is not there.
        """
        self.context = _open_context()
        self._uniforms: dict[str, list[Any]] = {}
        self._units: dict[str, int] = {}
        gl = self.context
        gl.enable(gl.DEPTH_TEST)
        # The picture's alpha, which marks hair, keeps what was drawn without blending.
        gl.blend_func = (gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ZERO, gl.ONE)

    def program(self, vertex: str, fragment: str) -> Any:
        """A program of two shaders' texts (see `shaders.source`)."""
        program = self.context.program(
            vertex_shader=source(vertex), fragment_shader=source(fragment)
        )
        for name in program:
            self._uniforms.setdefault(name, []).append(program[name])
            if name in self._units:
                program[name].value = self._units[name]
        return program

    def set_uniforms(self, uniforms: Uniforms) -> None:
        """Set uniforms by name; arrays [4, 4] are matrices, other arrays lists of vectors."""
        for name, value in uniforms.items():
            for member in self._uniforms.get(name, ()):
                if isinstance(value, np.ndarray):  # matrices are column-major in GL
                    table = value.T if value.shape == (4, 4) else value
                    member.write(np.ascontiguousarray(table, np.float32).tobytes())
                else:
                    member.value = value

    # --- buffers and vertex arrays -----------------------------------------------------------

    def buffer(self, values: NDArray[Any]) -> Any:
        """A buffer that holds an array."""
        return self.context.buffer(np.ascontiguousarray(values).tobytes())

    def empty_buffer(self, num_vertices: int, num_floats: int) -> Any:
        """An empty buffer for vertices of that many 4-byte numbers each."""
        return self.context.buffer(reserve=num_vertices * num_floats * 4)

    def vertex_array(self, program: Any, buffers: list[tuple[Any, ...]], index: Any = None) -> Any:
        """A vertex array of the attributes that the program has; others are skipped over.

        Args:
            program: draws it.
            buffers: buffer, format (such as "3f 3f") and names of its attributes.
            index: the buffer of the triangles' indices, if there is one.
        """
        used = []
        for buffer, formats, *names in buffers:
            kept_formats, kept_names = _used_attributes(program, formats, names)
            if kept_names:
                used.append((buffer, kept_formats, *kept_names))
        return self.context.vertex_array(program, used, index)

    # --- textures and targets ----------------------------------------------------------------

    def texture(self, pixels: U8, *, repeat: bool = False, mipmaps: str = "") -> Any:
        """A texture of pixels [H, W] or [H, W, C] uint8, bottom row first.

        Args:
            pixels: what it holds.
            repeat: whether it is tiled.
            mipmaps: "" for none, "nearest" or "linear" for one or two of them a sample.
        """
        gl = self.context
        height, width, *channels = pixels.shape
        texture = gl.texture((width, height), *(channels or [1]), np.ascontiguousarray(pixels))
        texture.repeat_x = texture.repeat_y = repeat
        if mipmaps:
            texture.build_mipmaps()
            smaller = {"nearest": gl.LINEAR_MIPMAP_NEAREST, "linear": gl.LINEAR_MIPMAP_LINEAR}
            texture.filter = (smaller[mipmaps], gl.LINEAR)
        return texture

    def texture_unit(self, name: str) -> int:
        """The texture unit of a sampler; the next free one for a new name."""
        if name not in self._units:
            self._units[name] = len(self._units)
            self.set_uniforms({name: self._units[name]})
        return self._units[name]

    def bind_texture(self, name: str, texture: Any) -> None:
        """Let the sampler of that name read a texture."""
        texture.use(self.texture_unit(name))

    @contextmanager
    def enabled(self, flags: int) -> Iterator[None]:
        """Enable moderngl's CULL_FACE or BLEND for a while."""
        self.context.enable(flags)
        try:
            yield
        finally:
            self.context.disable(flags)


class PictureTarget:
    """What pictures are drawn to: RGBA and depth, S samples a side."""

    def __init__(self, gl: GlContext, side: int) -> None:
        self._side = side
        self._depth = gl.context.depth_texture((side, side))
        color = gl.context.texture((side, side), 4)
        self.framebuffer = gl.context.framebuffer([color], self._depth)

    def clear(self) -> None:
        """Start a picture: draw to this target from now on."""
        self.framebuffer.use()
        self.framebuffer.clear(depth=1.0)

    def read_pixels(self) -> U8:
        """RGBA [S, S, 4], bottom row first."""
        data = self.framebuffer.read(components=4, alignment=1)
        return np.frombuffer(data, np.uint8).reshape(self._side, self._side, 4)

    def read_depth(self) -> F32:
        """Window depth [S, S] in [0, 1], bottom row first."""
        data = self._depth.read(alignment=1)
        return np.frombuffer(data, np.float32).reshape(self._side, self._side)


class ShadowTarget:
    """The shadow map: depth from the key light, read by the sampler `shadow_map`."""

    def __init__(self, gl: GlContext) -> None:
        depth = gl.context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        depth.compare_func = "<="
        depth.repeat_x = depth.repeat_y = False
        self._framebuffer = gl.context.framebuffer([], depth)
        gl.bind_texture("shadow_map", depth)

    def clear(self) -> None:
        """Start a shadow map: draw to it from now on."""
        self._framebuffer.use()
        self._framebuffer.clear(depth=1.0)


def _used_attributes(program: Any, formats: str, names: list[str]) -> tuple[str, list[str]]:
    """Format and names of a buffer's attributes that a program has; padding for the others."""
    kept_formats, kept_names, left = [], [], list(names)
    for item in formats.split():
        if item.endswith("x"):
            kept_formats.append(item)
            continue
        name = left.pop(0)
        if name in program:
            kept_formats.append(item)
            kept_names.append(name)
        else:
            kept_formats.append(f"{4 * int(item[:-1])}x")
    return " ".join(kept_formats), kept_names


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
