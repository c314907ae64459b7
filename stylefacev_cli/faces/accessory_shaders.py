"""GLSL of glasses, earrings and hats."""

from __future__ import annotations

from stylefacev_cli.faces.part_shaders import PART_VERTEX
from stylefacev_cli.faces.shaders import fragment_shader, vertex_shader

ACCESSORY_VERTEX = PART_VERTEX.replace("in vec4 kind;", "in vec2 kind;").replace(
    "K = kind;", "K = vec4(kind, 0., 0.);"
)

# kind: x 1 frame, 2 lens, 3 earring; y opacity.
ACCESSORY_FRAGMENT = fragment_shader(
    """
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

HAT_VERTEX = vertex_shader(
    """
in vec3 position; in vec3 normal; out vec3 P; out vec3 N;
void main() {
  P = turn(position - pivot, angle) + pivot; N = turn(normal, angle);
  gl_Position = view_projection * vec4(P, 1.);
}
"""
)

HAT_FRAGMENT = fragment_shader(
    """
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

HAT_SHADOW_VERTEX = vertex_shader(
    """
in vec3 position; uniform mat4 light_projection;
void main() { gl_Position = light_projection * vec4(turn(position - pivot, angle) + pivot, 1.); }
"""
)
