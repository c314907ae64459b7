"""GLSL sources. All shading is procedural; lengths are decimetres, colours linear RGB.

Names used throughout: P position, N normal, C position on the canonical head, ao ambient
occlusion; `key…` is the main light, `sky`/`ground`/`side` the ambient light, `rim` the one behind.
"""

from __future__ import annotations

from stylefacev_cli.faces import bake, part_shaders, skins

_VERSION = "#version 330\n"

# Rotation about the neck by a share of the head's angle.
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
  r += texture(shadow_map, s + vec3(-o, -.3 * o, 0.)) + texture(shadow_map, s + vec3(o, .3 * o, 0.));
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

# Opacity as a share of a pixel's samples: nothing needs to be sorted, and edges stay soft.
_COVERAGE = """
uniform float samples;
bool covers(float opacity) {
  vec2 at = floor(mod(gl_FragCoord.xy, samples));
  return opacity > (at.x * samples + at.y + .5) / (samples * samples);
}
"""

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

SKIN_VERTEX = (
    _VERSION
    + _POSE
    + "out vec3 P; out vec3 N; out vec3 C; out vec2 UV; out vec3 T; out float oil;\n"
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
SKIN_DEPTH_VERTEX = _VERSION + _POSE + _SKIN_BODY.replace("OUT", "")

_SKIN_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
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

PART_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec3 normal; in vec4 kind; out vec3 P; out vec3 N; out vec3 Q; out vec4 K;
void main() {
  P = turn(position - pivot, angle) + pivot; N = turn(normal, angle); Q = normal; K = kind;
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

# kind.x: 1 eye (y: 0 left, 1 right), 2 teeth (y, z: place, w: upper arch),
# 3 tongue (y: how far in front).
PART_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
in vec3 P; in vec3 N; in vec3 Q; in vec4 K; out vec4 o;
uniform vec3 gaze[2]; uniform vec3 world_gaze[2]; uniform vec4 lids[4];
uniform vec3 iris_rim; uniform vec3 iris_center; uniform vec3 sclera; uniform vec3 enamel;
uniform sampler2D eye_picture; uniform float parted;
"""
    + part_shaders.EYE
    + part_shaders.TEETH
    + """
void main() {
  vec3 n = normalize(N), v = normalize(camera - P), color;
  float shade = lit(P, n), wrapped = max(dot(n, key_direction) * .6 + .35, 0.);
  if (K.x < 1.5) color = eye(n, v, shade);
  else if (K.x < 2.5) color = teeth(n, v, shade);
  else color = vec3(.36, .11, .10) * pow(K.y, 1.4)
    * (key * wrapped * mix(.3, .9, shade) + ambient(n) * .7);
  o = vec4(tone(color), 1.);
}
"""
)

# kind: y way from the lid, z opacity.
LASH_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
in vec3 P; in vec3 N; in vec3 Q; in vec4 K; out vec4 o;
void main() {
  float opacity = K.z * (1. - smoothstep(.15, 1., K.y));
  o = vec4(tone(vec3(.008, .006, .005) * (ambient(vec3(0., 1., 0.)) + key * .2)), opacity);
}
"""
)

# Brows and lashes lie on the skin: their depth, not their place, is drawn towards the camera.
CARD_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec3 normal; in vec3 place; uniform vec3 camera;
out vec3 P; out vec3 N; out vec3 K;
void main() {
  P = turn(position - pivot, angle) + pivot; N = turn(normal, angle); K = place;
  vec4 at = view_projection * vec4(P, 1.);
  vec4 nearer = view_projection * vec4(P + normalize(camera - P) * CARD_BIAS_DM, 1.);
  gl_Position = vec4(at.xy, nearer.z / nearer.w * at.w, at.w);
}
"""
)

# place: x, y in the pictures, z 0 brow, else opacity of lashes.
CARD_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
in vec3 P; in vec3 N; in vec3 K; out vec4 o;
uniform sampler2D cards; uniform vec4 brow_color; uniform float made_up;
void main() {
  float opacity = texture(cards, K.xy).r;
  vec3 n = normalize(N), v = normalize(camera - P);
  if (dot(n, v) < 0.) n = -n;
  vec3 albedo = brow_color.rgb;
  if (K.z > .01) {
    albedo = mix(brow_color.rgb * .3, vec3(.006, .005, .005), made_up);
    n = vec3(0., .8, .6);
  }
  float facing = max(dot(n, key_direction) * .7 + .3, 0.);
  vec3 color = albedo * (key * facing * mix(.4, 1., lit(P, n)) + ambient(n));
  o = vec4(tone(color), K.z > .01 ? opacity * K.z : min(opacity * brow_color.a, .96));
}
"""
)

ACCESSORY_VERTEX = PART_VERTEX.replace("in vec4 kind;", "in vec2 kind;").replace(
    "K = kind;", "K = vec4(kind, 0., 0.);"
)

# kind: x 1 frame, 2 lens, 3 earring; y opacity.
ACCESSORY_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
in vec3 P; in vec3 N; in vec3 Q; in vec4 K; out vec4 o;
uniform vec3 glasses_color; uniform vec4 frame_metal; uniform vec3 metal;
void main() {
  vec3 n = normalize(N), v = normalize(camera - P);
  if (dot(n, v) < 0.) n = -n;
  float facing = max(dot(n, key_direction), 0.), shade = lit(P, n), opacity = K.y;
  float glint = pow(max(dot(n, normalize(key_direction + v)), 0.), 40.);
  float graze = pow(1. - max(dot(n, v), 0.), 5.);
  vec3 mirror = ambient(reflect(-v, n)), color;
  vec3 base = K.x < 2. ? frame_metal.rgb : metal;
  color = base * (.35 * ambient(n) + .9 * mirror + key * shade * (.4 * facing + 1.5 * glint));
  if (K.x < 1.5) {
    vec3 plastic = glasses_color * (key * facing * shade + ambient(n)) + key * glint * shade * .25
      + mirror * (.03 + .4 * graze);
    color = mix(plastic, color, frame_metal.a);
  } else if (K.x < 2.5) {  // glass mirrors the sky above, a window and, at the edge, everything
    float window = smoothstep(.86, .90, dot(reflect(-v, n), normalize(vec3(-.45, .55, .8))));
    color = mirror + sky * window * 1.2 + key * glint;
    opacity *= .25 + .25 * smoothstep(.0, .6, reflect(-v, n).y) + .8 * window + 2. * graze;
  }
  o = vec4(tone(color), opacity);
}
"""
)

# strand: x around the head, y along the strand, z shell level, w tip weight.
HAIR_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec3 normal; in vec3 tangent; in vec4 strand;
uniform vec3 hat_rim;
out vec3 P; out vec3 N; out vec3 S; out vec4 K; out float above_rim;
void main() {
  above_rim = position.y - dot(hat_rim, vec3(position.xz, 1.));
  float a = angle * hair_share(position.y);
  P = turn(position - pivot, a) + pivot; N = turn(normal, a); S = turn(tangent, a); K = strand;
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

HAIR_FRAGMENT = (
    _VERSION
    + _LIGHT
    + _COVERAGE
    + """
in vec3 P; in vec3 N; in vec3 S; in vec4 K; in float above_rim; out vec4 o;
uniform vec3 hair_color; uniform float curl;
void main() {
  if (above_rim > 0.) discard;  // inside the hat
  float t = K.y, level = K.z, tip = K.w;
  // Waves bend the strands; tight curls are lumps that run no way in particular.
  float u = K.x + curl * .006 * sin(t * 34. + 6. * sin(K.x * 25.));
  vec3 fine = texture(noise, vec2(u * 18., t * .5 + level * .37)).rgb;
  float s1 = fine.r, s2 = texture(noise, vec2(u * 55.8 + .3, t * .85 + level * .11)).g;
  float lock = texture(noise, vec2(u * 7., t * .45 + .2)).b;
  float tight = smoothstep(.55, .95, curl);
  if (tight > 0.) {
    float lump = texture(noise, vec2(K.x * 9., t * 4.5 + level * .2)).r;
    s1 = mix(s1, lump, tight * .8); lock = mix(lock, lump, tight * .6);
  }
  float keep = mix(s1 * .45 + s2 * .25 + lock * .3, s1 * .3 + lock * .7, tip);
  float bound = .04 + .24 * level * level + tip * (.75 + .35 * level);
  if (!covers((keep - bound) * 2.4 + .5)) discard;

  // Strands: diffuse light by the angle to the tangent, two highlights (Kajiya and Kay).
  vec3 n = normalize(N), v = normalize(camera - P);
  if (dot(n, v) < 0.) n = -n * .6;
  vec3 tangent = normalize(normalize(S) + n * (s2 + lock - 1.) * (.35 + .3 * curl));
  vec3 albedo = hair_color * (.75 + .5 * s2) * (.5 + lock) * (.7 + .6 * s1);
  albedo *= .55 + .45 * level;
  float shade = mix(.35, 1., lit(P, n)), tl = dot(tangent, key_direction), tv = dot(tangent, v);
  float sl = sqrt(max(1. - tl * tl, 0.)), sv = sqrt(max(1. - tv * tv, 0.));
  float wrapped = clamp(dot(n, key_direction) * .6 + .4, 0., 1.);
  float first = pow(max(sl * sv - tl * tv, 0.), 26.) * (1. - .7 * tight);
  float second = pow(max(sl * sv - (tl + .15) * (tv + .15), 0.), 9.);
  vec3 color = albedo * (key * wrapped * (.35 + .65 * sl) * shade + ambient(n) * (.4 + .6 * level)
                         + rim * max(dot(n, rim_direction) + .2, 0.) * .8);
  vec3 shine = first * (vec3(.018) + .35 * albedo) + second * albedo;
  color += key * shade * wrapped * shine * .6 * level;
  color += ambient(n) * pow(1. - abs(dot(n, v)), 3.) * .03 * level;
  o = vec4(tone(color), HAIR_MARK);
}
"""
)

HAIR_CARD_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec3 normal; in vec2 texcoord; in float cut; in float openness;
in vec3 tangent;
uniform vec3 hat_rim; uniform float worn_side;
out vec3 P; out vec3 N; out vec3 S; out vec2 UV; out vec3 K;
void main() {
  float a = angle * hair_share(position.y);
  P = turn(position - pivot, a) + pivot; N = turn(normal, a);
  S = turn(vec3(worn_side * tangent.x, tangent.yz), a); UV = texcoord; K = vec3(cut, openness, position.y - dot(hat_rim, vec3(position.xz, 1.)));
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

_CARD_OPACITY = """
uniform sampler2D card_map; uniform float solid;
// A cut ends strand by strand: bright ones reach farther.
float card_opacity(vec2 card, float cut) {
  return card.g * smoothstep(-.05, .05, cut + (card.r - .5) * .5);
}
"""

HAIR_CARD_FRAGMENT = (
    _VERSION
    + _LIGHT
    + _CARD_OPACITY
    + """
in vec3 P; in vec3 N; in vec3 S; in vec2 UV; in vec3 K; out vec4 o;
uniform vec3 hair_color;
void main() {
  if (K.z > 0.) discard;  // inside the hat
  vec2 card = texture(card_map, UV).rg;
  float opacity = card_opacity(card, K.x);
  if (opacity < mix(.04, .62, solid)) discard;
  float light = (card.r - .5) * 2.4;
  vec3 n = normalize(N), v = normalize(camera - P);
  if (dot(n, v) < 0.) n = normalize(n - 1.6 * v * dot(n, v));
  vec3 tangent = normalize(normalize(S) + n * light * .25);
  float pale = smoothstep(.05, .35, hair_color.g);  // light strands shine through each other
  vec3 albedo = hair_color * exp(light * mix(.95, .5, pale)) * mix(mix(.45, .7, pale), 1., K.y);
  // Strands: diffuse light by the angle to the tangent, two highlights (Kajiya and Kay).
  float shade = mix(.3, 1., lit(P, n)), tl = dot(tangent, key_direction), tv = dot(tangent, v);
  float sl = sqrt(max(1. - tl * tl, 0.)), sv = sqrt(max(1. - tv * tv, 0.));
  float wrapped = clamp(dot(n, key_direction) * .65 + .35, 0., 1.);
  float first = pow(max(sl * sv - (tl - .06) * (tv - .06), 0.), 40.);
  float second = pow(max(sl * sv - (tl + .12) * (tv + .12), 0.), 12.);
  vec3 color = albedo * (key * wrapped * (.3 + .7 * sl) * shade
                         + ambient(n) * mix(.35, 1., K.y)
                         + rim * max(dot(n, rim_direction) + .2, 0.) * .8);
  float rough = exp(light * .6);
  color += key * shade * wrapped * K.y * rough
    * (first * (vec3(.022) + .25 * albedo) + second * (.6 * albedo + vec3(.003)));
  o = vec4(tone(color), mix(clamp(opacity / .62, 0., 1.), HAIR_MARK, solid));
}
"""
)

HAIR_CARD_SHADOW_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec2 texcoord; in float cut; uniform mat4 light_projection;
uniform vec3 hat_rim;
out vec2 UV; out float K;
void main() {
  UV = texcoord;
  K = min(cut, 20. * (dot(hat_rim, vec3(position.xz, 1.)) - position.y));
  float a = angle * hair_share(position.y);
  gl_Position = light_projection * vec4(turn(position - pivot, a) + pivot, 1.);
}
"""
)

HAIR_CARD_SHADOW_FRAGMENT = (
    _VERSION
    + _CARD_OPACITY
    + """
in vec2 UV; in float K;
void main() { if (card_opacity(texture(card_map, UV).rg, K) < .5) discard; }
"""
)

SHADOW_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in float share; uniform float is_hair; uniform mat4 light_projection;
void main() {
  float a = angle * (is_hair > .5 ? hair_share(position.y) : share);
  gl_Position = light_projection * vec4(turn(position - pivot, a) + pivot, 1.);
}
"""
)

EMPTY_FRAGMENT = _VERSION + "void main() {}\n"

HAT_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; in vec3 normal; out vec3 P; out vec3 N;
void main() {
  P = turn(position - pivot, angle) + pivot; N = turn(normal, angle);
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

HAT_FRAGMENT = (
    _VERSION
    + _LIGHT
    + """
in vec3 P; in vec3 N; out vec4 o;
uniform vec3 hat_color;
void main() {  // felt: rough, a little lighter where it is seen at a grazing angle
  vec3 n = normalize(N), v = normalize(camera - P);
  float inner = step(dot(n, v), 0.);
  n = mix(n, -n, inner);
  float facing = max(dot(n, key_direction), 0.), graze = pow(1. - max(dot(n, v), 0.), 3.);
  vec3 color = hat_color * (key * facing * lit(P, n) + ambient(n) * mix(.9, .35, inner));
  o = vec4(tone(color * (1. + .6 * graze)), 1.);
}
"""
)

HAT_SHADOW_VERTEX = (
    _VERSION
    + _POSE
    + """
in vec3 position; uniform mat4 light_projection;
void main() { gl_Position = light_projection * vec4(turn(position - pivot, angle) + pivot, 1.); }
"""
)

BACKGROUND_VERTEX = (
    _VERSION + "in vec2 corner; out vec2 q;\n"
    "void main() { q = corner; gl_Position = vec4(corner, .9999, 1.); }\n"
)
# A room out of focus: a wall with a lower part, an upright panel (door, window, shelf), lamps.
BACKGROUND_FRAGMENT = (
    _VERSION
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

SHADOW_SIZE = 512
HAIR_MARK = 0.5  # alpha of solid hair in the target; of all else but the background 1
IRIS_RAD = 0.48
_CARD_BIAS_DM = 0.02

_CONSTANTS = {
    "SHADOW_SIZE": SHADOW_SIZE,
    "HAIR_MARK": HAIR_MARK,
    "IRIS_RAD": IRIS_RAD,
    "PICTURE_SIZE": skins.PICTURE_SIZE,
    "SKIN_WIDTH": skins.WIDTH,
    "SKIN_HEIGHT": skins.HEIGHT,
    "HEAD_SHIFT_X": -skins.HEAD_TILE[0],
    "HEAD_SHIFT_Y": skins.HEAD_ROW - skins.HEAD_TILE[1],
    "NECK_SHIFT_X": -skins.NECK_TILE[0],
    "NECK_SHIFT_Y": skins.NECK_ROW - skins.NECK_TILE[1],
    "SOCKET_X": skins.SOCKET[0],
    "SOCKET_Y": skins.SOCKET[1],
    "RELIEF_DM": skins.RELIEF_DM,
    "CARD_BIAS_DM": _CARD_BIAS_DM,
    "PAINT_AXIS_Z": bake.PAINT_AXIS_Z,
    "PAINT_AZIMUTH": bake.PAINT_AZIMUTH,
    "PAINT_LOW": bake.PAINT_LOW,
    "PAINT_HIGH": bake.PAINT_HIGH,
}


def source(text: str) -> str:
    """A shader's text with the shared constants put in."""
    for name, value in _CONSTANTS.items():
        text = text.replace(name, f"{float(value)}")
    return text
