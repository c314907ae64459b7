"""GLSL of eyes, teeth and tongue, of lashes and of brow cards."""

from __future__ import annotations

from stylefacev_cli.faces.shaders import fragment_shader, vertex_shader

_EYE = """
vec3 eye(vec3 n, vec3 v, float shade) {
  bool left = K.y < .5;
  vec3 g = left ? gaze[0] : gaze[1], wg = left ? world_gaze[0] : world_gaze[1], q = normalize(Q);
  float c = dot(q, g), a = acos(clamp(c, -1., 1.)), r = a / IRIS_RAD;
  vec3 t = normalize(q - g * c + 1e-5), across = normalize(vec3(g.z, 0., -g.x));
  vec2 place = vec2(dot(t, across), dot(t, cross(g, across))) * r;
  vec3 detail = texture(eye_picture, place * .25 + .5).rgb * 2.;
  vec3 iris = mix(iris_center, iris_rim, smoothstep(.35, .85, r)) * detail;
  iris *= 1. - .72 * smoothstep(.70, 1.02, r);
  iris = mix(iris, vec3(.003), smoothstep(.42, .34, r));
  vec3 into = normalize(key_direction - wg * dot(key_direction, wg) + 1e-4);
  vec3 wt = normalize(n - wg * c + 1e-5);
  iris *= .8 + .8 * max(dot(wt, -into), 0.) * smoothstep(.2, .9, r);  // light gathers opposite

  // The lids: above and below are the distances from their edges.
  vec4 ends = left ? lids[0] : lids[2], bow = left ? lids[1] : lids[3];
  float u = (q.x - ends.x) / (ends.z - ends.x), w = max(4. * u * (1. - u), 0.);
  float line = mix(ends.y, ends.w, u), inner = left ? u : 1. - u;
  float above = line + w * (bow.x + bow.y * (2. * u - 1.)) - q.y;
  float below = q.y - line - w * (bow.z + bow.w * (2. * u - 1.));
  float gap = above + below;
  vec3 white = sclera * mix(vec3(1.), detail, smoothstep(1., 1.2, r));
  white *= mix(vec3(.80, .58, .52), vec3(1.), smoothstep(.0, .16, below));
  white = mix(white, sclera * vec3(.95, .50, .44), smoothstep(.17, .05, inner));
  vec3 albedo = mix(white, iris, smoothstep(IRIS_RAD + .05, IRIS_RAD - .05, a));
  float ao = mix(.30, 1., smoothstep(-.04, .30, above));
  ao *= mix(.62, 1., smoothstep(-.02, .12, below));
  ao *= mix(.55, 1., smoothstep(.0, .22, min(u, 1. - u)));
  float shut = smoothstep(.10, -.02, gap);
  albedo = mix(albedo, sclera * vec3(.26, .12, .09), shut);
  ao *= mix(1., .7, shut);
  float facing = max((dot(n, key_direction) + .3) / 1.3, 0.);
  vec3 color = albedo * ao * (key * facing * mix(.4, 1., shade) + ambient(n) * .9);

  // The cornea bulges: its highlights stay near the middle of the iris.
  vec3 m = normalize(n + (n - wg * c) * .9 * smoothstep(1.15, .9, r));
  float free = smoothstep(.0, .08, above) * (1. - shut);
  float glint = pow(max(dot(m, normalize(key_direction + v)), 0.), 260.);
  float window = pow(max(dot(m, normalize(vec3(.3, .6, .8) + v)), 0.), 180.);
  color += (key * glint * 1.6 * mix(.3, 1., shade) + sky * window * .9) * free;
  color += ambient(reflect(-v, m)) * .022 * free;
  // Tears along the lower lid.
  float wet = exp(-pow((below - .028) / .020, 2.)) * smoothstep(.05, .2, min(u, 1. - u));
  color += (key * mix(.3, 1., shade) * max(facing, 0.) + sky) * wet * .06 * smoothstep(.1, .2, gap);
  return color;
}
"""

_TEETH = """
// Distance to a tooth's nearer side; the lower arch's are narrower. `at` is -1 … 1 across it.
float tooth(float x, float upper, out float at, out float number) {
  vec3 ends = mix(vec3(.16, .33, .51), vec3(.245, .43, .61), upper);
  float e0 = 0., e1 = ends.x;
  number = 0.;
  if (x > ends.x) { e0 = ends.x; e1 = ends.y; number = 1.; }
  if (x > ends.y) { e0 = ends.y; e1 = ends.z; number = 2.; }
  if (x > ends.z) { e0 = ends.z + .19 * floor((x - ends.z) / .19); e1 = e0 + .19; number = 3.; }
  at = (2. * x - e0 - e1) / (e1 - e0);
  return min(x - e0, e1 - x);
}
vec3 teeth(vec3 n, vec3 v, float shade) {  // K.y: side to side, K.z: biting edge to gum
  float at, number, x = abs(K.y), upper = K.w, gap = tooth(x, upper, at, number);
  // Rounded corners; the upper second tooth is a little short, the third one pointed.
  float bite = .01 + .035 * upper * pow(at, 4.) * (1. - step(2.5, number));
  bite += upper * (.028 * step(.5, number) * step(number, 1.5)
                   + .045 * (at * at - .4) * step(1.5, number) * step(number, 2.5));
  if (K.z < bite) discard;
  float gum = .74 + .06 * (1. - at * at) - .03 * step(.5, number) * step(number, 1.5);
  vec3 albedo = enamel * mix(vec3(1.), vec3(.95, .87, .74), smoothstep(.25, .75, K.z));
  albedo *= mix(vec3(.90, .93, .97), vec3(1.), smoothstep(.0, .14, K.z - bite));
  albedo *= 1. - .07 * step(1.5, number);
  albedo *= 1. - .38 * smoothstep(.018, .0, gap) - .18 * smoothstep(.055, .0, gap);
  albedo = mix(albedo, vec3(.40, .16, .15), smoothstep(gum - .03, gum + .03, K.z));
  // Little light falls into a mouth that is hardly open, and less to its sides.
  float deep = (1. - .94 * smoothstep(.15, mix(.62, .92, upper), x)) * (.15 + .85 * parted);
  deep *= mix(.80, .45, smoothstep(.05, .60, K.z)) * mix(.70, 1., upper);
  vec3 m = normalize(n + vec3(.22 * at * sign(K.y), 0., 0.));  // each crown is convex
  float facing = clamp(dot(m, key_direction) * .5 + .5, 0., 1.);
  float glint = pow(max(dot(m, normalize(key_direction + v)), 0.), 60.);
  vec3 color = albedo * (key * facing * mix(.45, .82, shade) + sky * .7);
  color = (color + key * glint * .10 * mix(.3, 1., shade)) * pow(vec3(deep), vec3(.9, 1., 1.06));
  return dot(n, v) < 0. ? color * vec3(.30, .16, .14) : color;  // the backs of the teeth
}
"""

PART_VERTEX = vertex_shader(
    """
in vec3 position; in vec3 normal; in vec4 kind; out vec3 P; out vec3 N; out vec3 Q; out vec4 K;
void main() {
  P = turn(position - pivot, angle) + pivot; N = turn(normal, angle); Q = normal; K = kind;
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

# kind.x: 1 eye (y: 0 left, 1 right), 2 teeth (y, z: place, w: upper arch),
# 3 tongue (y: how far in front).
PART_FRAGMENT = fragment_shader(
    """
in vec3 P; in vec3 N; in vec3 Q; in vec4 K; out vec4 o;
uniform vec3 gaze[2]; uniform vec3 world_gaze[2]; uniform vec4 lids[4];
uniform vec3 iris_rim; uniform vec3 iris_center; uniform vec3 sclera; uniform vec3 enamel;
uniform sampler2D eye_picture; uniform float parted;
"""
    + _EYE
    + _TEETH
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
LASH_FRAGMENT = fragment_shader(
    """
in vec3 P; in vec3 N; in vec3 Q; in vec4 K; out vec4 o;
void main() {
  float opacity = K.z * (1. - smoothstep(.15, 1., K.y));
  o = vec4(tone(vec3(.008, .006, .005) * (ambient(vec3(0., 1., 0.)) + key * .2)), opacity);
}
"""
)

# Brows and lashes lie on the skin: their depth, not their place, is drawn towards the camera.
CARD_VERTEX = vertex_shader(
    """
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
CARD_FRAGMENT = fragment_shader(
    """
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
