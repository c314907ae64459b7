"""GLSL of the skin, with lips, inside of the mouth and clothes: painted, and from a picture."""

from __future__ import annotations

from stylefacev_cli.faces.shaders import fragment_shader, vertex_shader

# traits: share of the head's rotation, ambient occlusion, inside of the mouth.
_SKIN_BODY = """
in vec3 position; in vec3 normal; in vec3 canonical; in vec2 texcoord; in vec3 traits;
invariant gl_Position;
void main() {
  float cloth = 1. - smoothstep(5.3, 5.75, canonical.y);
  vec3 q = position + normal * cloth * .06;
  vec3 posed = turn(q - pivot, angle * traits.x) + pivot;
  gl_Position = view_projection * vec4(posed, 1.);
  OUT
}
"""

SKIN_VERTEX = vertex_shader(
    "out vec3 P; out vec3 N; out vec3 C; out vec2 UV; out vec3 T; out float oil;\n"
    + _SKIN_BODY.replace(
        "OUT",
        """P = posed; N = turn(normal, angle * traits.x); C = canonical; UV = texcoord; T = traits;
  vec2 a = vec2(abs(C.x), C.y);  // forehead, nose, chin, cheek bones
  vec2 f = (a - vec2(0., 7.74)) / vec2(.36, .16), s = (a - vec2(0., 7.12)) / vec2(.13, .26);
  vec2 k = (a - vec2(0., 6.40)) / vec2(.17, .11), b = (a - vec2(.42, 7.14)) / vec2(.14, .10);
  oil = .7 * exp(-dot(f, f)) + exp(-dot(s, s)) + .55 * exp(-dot(k, k)) + .6 * exp(-dot(b, b));
  oil *= smoothstep(.5, .8, C.z);""",
    )
)

SKIN_DEPTH_VERTEX = vertex_shader(_SKIN_BODY.replace("OUT", ""))

# share: of the head's rotation.
SKIN_SHADOW_VERTEX = vertex_shader(
    """
in vec3 position; in float share; uniform mat4 light_projection;
void main() {
  gl_Position = light_projection * vec4(turn(position - pivot, angle * share) + pivot, 1.);
}
"""
)

_SKIN_FRAGMENT = fragment_shader(
    """
in vec3 P; in vec3 N; in vec3 C; in vec2 UV; in vec3 T; in float oil; out vec4 o;
uniform sampler2D paint; uniform sampler2D skin_picture; uniform sampler2D lip_mask;
uniform vec3 lip_color; uniform float lip_cover; uniform float lipstick;
uniform vec3 shirt; uniform vec3 collar; uniform float neckline; uniform vec3 scatter;
uniform sampler2D folds; uniform vec4 wrinkles;
uniform float neckline_v; uniform float jacket; uniform vec3 jacket_color;
void main() {
  vec3 n = normalize(N), v = normalize(camera - P);
  vec2 place = vec2(.5 + atan(C.x, C.z - PAINT_AXIS_Z) / (2. * PAINT_AZIMUTH),
                    (C.y - PAINT_LOW) / (PAINT_HIGH - PAINT_LOW));
  vec3 albedo, wrap = scatter;
  float ao = T.y, inside = smoothstep(.25, .6, T.z), gloss = .65, sharp = 22.;
  float lip = texture(lip_mask, UV).r * (1. - inside);
  SURFACE
  float fold = dot(texture(folds, place) * 2. - 254. / 255., wrinkles);
  albedo *= max(1. + fold * vec3(.42, .58, .60), .2);

  // Lips and the inside of the mouth.
  LIPS
  float depth = smoothstep(1.05, 1.42, C.z);
  albedo = mix(albedo, vec3(.22, .05, .045) * (.06 + .94 * depth * depth), inside);
  ao = mix(ao, .12 + .45 * depth, inside);

  // The shirt, painted below a curved neckline.
  float dip = .32 * neckline_v * exp(-abs(C.x) * 5.5) * smoothstep(.9, 1.3, C.z);
  float edge = neckline - dip + .3 * pow(abs(C.x), 1.6) + .26 * (1.3 - C.z) - C.y;
  float cloth = smoothstep(0., .02, edge) * step(C.y, 6.0);
  vec3 fabric = mix(shirt, collar, smoothstep(.11, .09, edge));
  // A jacket, open in front.
  float lapel = abs(C.x) - mix(2.2, .40 + .75 * (C.y - 5.5) - .25 * (1.2 - C.z), jacket);
  vec3 coat = jacket_color * (.7 + .3 * smoothstep(.0, .03, lapel)
                              + .25 * smoothstep(.20, .16, lapel));
  fabric *= .75 + .25 * smoothstep(.0, -.10, lapel);
  fabric = mix(fabric, coat, smoothstep(-.01, .01, lapel));
  albedo = mix(albedo, fabric, cloth);
  gloss *= 1. - cloth; wrap *= 1. - .6 * cloth;
  ao *= mix(.7 + .3 * smoothstep(0., .09, -edge), .8 + .2 * smoothstep(0., .08, edge), cloth);

  // Wrapped diffuse light: red reaches farther around the terminator than blue.
  float facing = dot(n, key_direction), shade = facing > -.25 ? lit(P, n) : 1.;
  shade *= 1. - .65 * step(.5, inside);
  DIFFUSE
  vec3 soft = pow(vec3(shade + .001), SPREAD);
  vec3 back = rim * max(dot(n, rim_direction) + .1, 0.);
  vec3 color = albedo * (key * diffuse * soft + ambient(n) * pow(vec3(ao), BOUNCE)
                         + back * ao);

  // Highlights, weighted by Fresnel's reflectance (Schlick).
  vec3 h = normalize(key_direction + v);
  float fresnel = .028 + .972 * pow(1. - max(dot(v, h), 0.), 5.);
  float shine = pow(max(dot(n, h), 0.), sharp) * (sharp + 8.) / 25. * fresnel * gloss;
  SHINE
  color += key * shine * shade * clamp(facing * 4., 0., 1.) * (1. - inside);
  float graze = .028 + .22 * pow(1. - max(dot(v, GRAZED), 0.), 5.);
  color += ambient(reflect(-v, n)) * graze * ao * .35 * (1. - inside) * (1. - .7 * cloth);
  o = vec4(tone(color), 1.);
}
"""
)


def _skin_fragment(**parts: str) -> str:
    """`_SKIN_FRAGMENT` with texts in place of the words SURFACE, LIPS, DIFFUSE, SHINE and so on."""
    text = _SKIN_FRAGMENT
    for name, part in parts.items():
        text = text.replace(name.upper(), part.strip())
    return text


SKIN_FRAGMENT = _skin_fragment(
    surface="vec3 root = texture(paint, place).rgb; albedo = root * root;",
    lips="albedo = mix(albedo, lip_color, lip * lip_cover); gloss += lip * .7; sharp += lip * 18.;",
    diffuse="""
  vec3 diffuse = clamp((vec3(facing) + wrap) / (1. + wrap), 0., 1.);
  diffuse *= diffuse * .35 + .65;
""",
    shine="",
    grazed="n",
    spread="vec3(.65, .95, 1.)",
    bounce="vec3(.75, .95, 1.05)",
)

# Skin from a picture (see `skins.blend_skin`), hair of beard and scalp laid over it.
PICTURED_SKIN_FRAGMENT = _skin_fragment(
    surface="""
  vec2 texel = UV * PICTURE_SIZE;
  texel += UV.x > .62 ? vec2(HEAD_SHIFT_X, HEAD_SHIFT_Y) : vec2(NECK_SHIFT_X, NECK_SHIFT_Y);
  // What no picture shows, the rim of the sockets: like the corner of the eye.
  bool socket = UV.x < .165;
  vec4 pictured = texture(skin_picture, (socket ? vec2(SOCKET_X, SOCKET_Y) : texel)
                                        / vec2(SKIN_WIDTH, SKIN_HEIGHT));
  albedo = pictured.rgb * pictured.rgb;
  if (socket) albedo *= vec3(.95, .62, .58);
  // Short hair is dots, a full beard strands.
  vec4 over = texture(paint, place);
  float dots = texture(noise, place * vec2(21., 16.)).a, pores = texture(noise, UV * 17.).a - .5;
  float lock = texture(noise, place * vec2(7., 1.7) + vec2(.02 * sin(place.y * 90.), 0.)).g;
  float full = smoothstep(.3, .75, over.a) * smoothstep(7.3, 7.1, C.y);
  float hairs = mix(dots, .35 * dots + .65 * lock, full) - .5;
  float cover = clamp(over.a + 3.4 * over.a * (1. - over.a) * hairs, 0., 1.);
  vec3 hair = over.rgb * over.rgb / max(over.a, .004) * (1. + full * 1.3 * hairs);
  albedo = mix(albedo, hair, cover);
  // The relief tilts the normal (Mikkelsen's surface gradient).
  vec3 smooth_n = n, px = dFdx(P), py = dFdy(P), rx = cross(py, n), ry = cross(n, px);
  float relief = pictured.a * RELIEF_DM + mix(pores * .0012, hairs * .010, full * cover);
  float area = dot(px, rx);
  n = normalize(abs(area) * n - sign(area) * (dFdx(relief) * rx + dFdy(relief) * ry));
""",
    lips="""
  vec3 grey = vec3(.4, .4, .2);
  vec3 stick = lip_color * (.35 + .65 * dot(albedo, grey) / dot(lip_color, grey));
  albedo = mix(albedo, stick, lip * lipstick);
  gloss += lip * (.8 * lipstick - .4); sharp += lip * 18.;
""",
    diffuse="""
  // Red light spreads farthest below the skin: the relief hardly shows in it, and it reaches
  // around the terminator.
  vec3 diffuse = mix(vec3(dot(smooth_n, key_direction)), vec3(facing), vec3(.3, .6, .75));
  diffuse = .5 * (diffuse + sqrt(diffuse * diffuse + .6 * wrap * wrap));
""",
    shine="""
  float broken = clamp(.5 + 2.4 * (pictured.a - .5) + 1.1 * pores, 0., 1.2);
  float oily = oil + .4 * lip;
  float bare = (1. - cloth) * (1. - cover);
  shine += pow(max(dot(n, h), 0.), 70.) * 3.1 * fresnel * oily * broken * bare;
  ao *= mix(ao, 1., cloth);  // of what follows, reflections: less in hollows
""",
    grazed="smooth_n",
    spread="vec3(.88, .98, 1.)",
    bounce="vec3(.86, .98, 1.04)",
)
