"""GLSL that several shaders share, the background's, and constants of the program in shaders.

Lengths are decimetres, colours linear RGB. Names used in all shaders: P position, N normal,
C position on the canonical head, S tangent of a strand, K kind or place, ao ambient occlusion;
`key…` is the main light, `sky`/`ground`/`side` the ambient light, `rim` the light from behind.
Shaders of a subject are in `skin_shaders`, `part_shaders`, `hair_shaders` and `worn_shaders`.
"""

from __future__ import annotations

from stylefacev_cli.faces import bake, skin_textures

VERSION = "#version 330\n"

# Rotation about the neck, and the share of the head's angle by which hair at height y turns.
_POSE = """
uniform vec3 axis; uniform float angle; uniform vec3 pivot; uniform mat4 view_projection;
vec3 turn(vec3 p, float a) {
  float c = cos(a), s = sin(a);
  return p * c + cross(axis, p) * s + axis * dot(axis, p) * (1. - c);
}
float hair_share(float y) { return mix(1., .35, smoothstep(6.5, 5.3, y)); }
"""

_LIGHT = """
uniform vec3 camera; uniform vec3 key_direction; uniform vec3 key; uniform vec3 sky;
uniform vec3 ground; uniform vec3 side; uniform vec3 side_direction; uniform vec3 rim;
uniform vec3 rim_direction; uniform mat4 light_projection; uniform sampler2DShadow shadow_map;
uniform float exposure; uniform sampler2D noise;
float lit(vec3 P, vec3 N) {  // six bilinear taps of the shadow map
  vec3 s = (light_projection * vec4(P + N * .03, 1.)).xyz * .5 + .5;
  float o = 2.9 / SHADOW_SIZE, r = 0.;
  s.z -= .004;
  r += texture(shadow_map, s + vec3(-o, -.3 * o, 0.));
  r += texture(shadow_map, s + vec3(o, .3 * o, 0.));
  r += texture(shadow_map, s + vec3(-.5 * o, .8 * o, 0.));
  r += texture(shadow_map, s + vec3(.5 * o, -.8 * o, 0.));
  r += texture(shadow_map, s + vec3(.3 * o, .25 * o, 0.));
  r += texture(shadow_map, s + vec3(-.3 * o, -.25 * o, 0.));
  return r / 6.;
}
vec3 ambient(vec3 N) {
  float u = N.y * .5 + .5, s = dot(N, side_direction) * .5 + .5;
  return mix(ground, sky, u * u * (3. - 2. * u)) + side * s * s;
}
vec3 tone(vec3 c) {  // filmic curve (Narkowicz' fit), then gamma
  c *= exposure;
  c = (c * (2.51 * c + .03)) / (c * (2.43 * c + .59) + .14);
  return pow(clamp(c, 0., 1.), vec3(1. / 2.2));
}
"""

SHADOW_SIZE = 512  # texels along a side of the shadow map
HAIR_MARK = 0.5  # alpha of solid hair in the target; of all else but the background 1
_IRIS_RAD = 0.48  # angular radius of the iris on the eyeball
_CARD_BIAS_DM = 0.02  # how much nearer to the camera brows and lashes are drawn

# Names in the shaders → values, put in by `source`.
_CONSTANTS = {
    "SHADOW_SIZE": SHADOW_SIZE,
    "HAIR_MARK": HAIR_MARK,
    "IRIS_RAD": _IRIS_RAD,
    "PICTURE_SIZE": skin_textures.PICTURE_SIZE,
    "SKIN_WIDTH": skin_textures.WIDTH,
    "SKIN_HEIGHT": skin_textures.HEIGHT,
    "HEAD_SHIFT_X": -skin_textures.HEAD_TILE[0],
    "HEAD_SHIFT_Y": skin_textures.HEAD_ROW - skin_textures.HEAD_TILE[1],
    "NECK_SHIFT_X": -skin_textures.NECK_TILE[0],
    "NECK_SHIFT_Y": skin_textures.NECK_ROW - skin_textures.NECK_TILE[1],
    "SOCKET_X": skin_textures.SOCKET[0],
    "SOCKET_Y": skin_textures.SOCKET[1],
    "RELIEF_DM": skin_textures.RELIEF_DM,
    "CARD_BIAS_DM": _CARD_BIAS_DM,
    "PAINT_AXIS_Z": bake.PAINT_AXIS_Z,
    "PAINT_AZIMUTH": bake.PAINT_AZIMUTH,
    "PAINT_LOW": bake.PAINT_LOW,
    "PAINT_HIGH": bake.PAINT_HIGH,
}


def source(text: str) -> str:
    """The text of a shader with the values of `_CONSTANTS` in place of their names."""
    for name, value in _CONSTANTS.items():
        text = text.replace(name, f"{float(value)}")
    return text


def vertex_shader(body: str) -> str:
    """A vertex shader that can `turn` points with the head: version, shared chunk and `body`."""
    return VERSION + _POSE + body


def fragment_shader(body: str) -> str:
    """A fragment shader that knows the lights, `lit` and `tone`: version, shared chunk, `body`."""
    return VERSION + _LIGHT + body


EMPTY_FRAGMENT = VERSION + "void main() {}\n"  # of depth and shadows

BACKGROUND_VERTEX = (
    VERSION + "in vec2 corner; out vec2 q;\n"
    "void main() { q = corner; gl_Position = vec4(corner, .9999, 1.); }\n"
)

# A room out of focus: a wall with a lower part, an upright panel (door, window, shelf), lamps.
BACKGROUND_FRAGMENT = (
    VERSION
    + """
in vec2 q; out vec4 o;
uniform vec3 backdrop; uniform vec3 shading; uniform vec2 floor_line; uniform vec3 panel;
uniform vec3 lamps; uniform float warmth; uniform float blur;
float disc(vec2 at, float radius) {
  return smoothstep(radius + blur, radius - blur, length(q - at));
}
void main() {
  float centre = cos(1.5708 * q.x) * cos(1.5708 * q.y) - .4;
  vec3 warm = vec3(1., .1, -1.) * warmth;
  vec3 c = backdrop * exp(shading.x * q.x + shading.y * q.y + shading.z * centre);
  float soft = 1.4 * blur, lower = smoothstep(soft, -soft, q.y - floor_line.x + .05 * q.x);
  c *= exp(lower * (floor_line.y - warm * .6));
  float inside = smoothstep(panel.y + soft, panel.y - soft, abs(q.x - panel.x));
  inside *= 1. - .8 * lower;
  c *= exp(inside * (panel.z + warm));
  float glow = disc(lamps.yz + vec2(-.75, .55), .10) + .7 * disc(lamps.yz + vec2(-.38, .80), .07)
    + .8 * disc(lamps.yz + vec2(.72, .35), .13) + .5 * disc(lamps.yz + vec2(.95, .75), .09);
  c += lamps.x * glow * vec3(1., .82, .6) * exp(.5 * warm);
  o = vec4(pow(clamp(c / (1. + .25 * c), 0., 1.), vec3(1. / 2.2)), 0.);
}
"""
)
