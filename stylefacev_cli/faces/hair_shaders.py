"""GLSL of hair: shells over the scalp, cards, and the shadow of cards."""

from __future__ import annotations

from stylefacev_cli.faces.shaders import VERSION, fragment_shader, vertex_shader

# Opacity as a share of a pixel's samples: nothing needs to be sorted, and edges stay soft.
_COVERAGE = """
uniform float samples;
bool covers(float opacity) {
  vec2 at = floor(mod(gl_FragCoord.xy, samples));
  return opacity > (at.x * samples + at.y + .5) / (samples * samples);
}
"""

# strand: x around the head, y along the strand, z shell level, w tip weight.
HAIR_VERTEX = vertex_shader(
    """
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

HAIR_SHADOW_VERTEX = vertex_shader(
    """
in vec3 position; uniform mat4 light_projection;
void main() {
  float a = angle * hair_share(position.y);
  gl_Position = light_projection * vec4(turn(position - pivot, a) + pivot, 1.);
}
"""
)

HAIR_FRAGMENT = fragment_shader(
    _COVERAGE
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

_CARD_OPACITY = """
uniform sampler2D card_map; uniform float solid;
// A cut ends strand by strand: bright ones reach farther.
float card_opacity(vec2 card, float cut) {
  return card.g * smoothstep(-.05, .05, cut + (card.r - .5) * .5);
}
"""

# cut: negative where hair is cut off; openness: 0 hidden under other hair … 1 on top; worn_side: -1
# mirrored, else 1.
HAIR_CARD_VERTEX = vertex_shader(
    """
in vec3 position; in vec3 normal; in vec2 texcoord; in float cut; in float openness;
in vec3 tangent;
uniform vec3 hat_rim; uniform float worn_side;
out vec3 P; out vec3 N; out vec3 S; out vec2 UV; out vec3 K; out vec3 R;
void main() {
  R = position;
  float a = angle * hair_share(position.y);
  P = turn(position - pivot, a) + pivot; N = turn(normal, a);
  S = turn(vec3(worn_side * tangent.x, tangent.yz), a); UV = texcoord;
  K = vec3(cut, openness, position.y - dot(hat_rim, vec3(position.xz, 1.)));
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

HAIR_CARD_FRAGMENT = fragment_shader(
    _CARD_OPACITY
    + """
in vec3 P; in vec3 N; in vec3 S; in vec2 UV; in vec3 K; in vec3 R; out vec4 o;
uniform vec3 hair_color; uniform float curls;
void main() {
  if (K.z > 0.) discard;  // inside the hat
  vec2 card = texture(card_map, UV).rg;
  if (curls > 0.) {  // small curls that run no way in particular, by the place on the head
    vec2 place = vec2(atan(R.x, R.z - .35) * .55, R.y * .5 + R.z * .2);
    float lump = texture(noise, place * 1.1).g + .8 * texture(noise, place * 1.3).a - .9;
    card.r = clamp(card.r + curls * lump, 0., 1.);
  }
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
    * (first * (vec3(.014) + .2 * albedo) + second * (.5 * albedo + vec3(.003)));
  o = vec4(tone(color), mix(clamp(opacity / .62, 0., 1.), HAIR_MARK, solid));
}
"""
)

HAIR_CARD_SHADOW_VERTEX = vertex_shader(
    """
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
    VERSION
    + _CARD_OPACITY
    + """
in vec2 UV; in float K;
void main() { if (card_opacity(texture(card_map, UV).rg, K) < .5) discard; }
"""
)
