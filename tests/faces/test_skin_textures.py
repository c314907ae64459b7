"""Skins blended from pictures: weights, colours, bounds; what is left of baked hair; seams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylefacev_cli.faces.factors import Z_DIM, FaceFactors
from stylefacev_cli.faces.parameters import Identity, Pose

if TYPE_CHECKING:
    from stylefacev_cli.faces import skin_textures as skins_module
    from stylefacev_cli.faces.latent_renderer import LatentRenderer

pytestmark = pytest.mark.render

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="session")
def skins(look: Path) -> skins_module.Skins:
    from stylefacev_cli.faces import skin_textures

    return skin_textures.load_skins()


def person(**values: object) -> Identity:
    identity = FaceFactors().identity_of(np.zeros(Z_DIM, np.float32))
    return replace(identity, **values)


def albedo(identity: Identity) -> np.ndarray:
    """Linear colours [HEIGHT, WIDTH, 3]."""
    from stylefacev_cli.faces.skin_textures import blend_skin

    return (blend_skin(identity)[..., :3] / 255.0) ** 2


shares = st.floats(0.0, 1.0)
identities = st.builds(
    lambda age, gender, first, second, tone, ruddiness, made_up, hair: person(
        age=age,
        gender=gender,
        ancestry=(first, (1 - first) * second, (1 - first) * (1 - second)),
        skin_tone=tone,
        ruddiness=ruddiness,
        make_up=made_up,
        hair_color=hair,
    ),
    st.floats(0.3, 1.0),
    shares,
    shares,
    shares,
    shares,
    st.floats(0.0, 1.2),
    shares,
    st.tuples(shares, shares, shares),
)


@settings(max_examples=40, deadline=None)
@given(identity=identities)
def test_weights_are_shares(skins: skins_module.Skins, identity: Identity) -> None:
    from stylefacev_cli.faces.skin_textures import picture_weights

    weights = picture_weights(skins, identity)
    assert weights.shape == (20,) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(), 1)


@pytest.mark.parametrize("name", ["age", "gender", "ancestry", "ruddiness"])
def test_weights_vary_continuously(skins: skins_module.Skins, name: str) -> None:
    from stylefacev_cli.faces.skin_textures import picture_weights

    rows = []
    for share in np.linspace(0, 1, 801):
        value = 0.3 + 0.7 * share if name == "age" else float(share)
        changed = (share, 0.3 * (1 - share), 0.7 * (1 - share)) if name == "ancestry" else value
        rows.append(picture_weights(skins, person(**{name: changed})))
    steps = np.abs(np.diff(np.stack(rows), axis=0)).max(1)
    assert steps.max() < 0.01


def test_those_whom_a_picture_shows_get_it(skins: skins_module.Skins) -> None:
    from stylefacev_cli.faces.skin_textures import picture_weights

    for k, (period, origin, sex) in enumerate(skins.places):
        identity = person(
            age={"young": 0.5, "middleage": 0.72, "old": 1.0}[period],
            gender=float(sex == "male"),
            ancestry=tuple(float(origin == o) for o in ("african", "asian", "caucasian")),
            skin_unevenness=float(skins.second[k]),
        )
        assert picture_weights(skins, identity)[k] == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(identity=identities)
def test_maps_are_within_bounds(skins: skins_module.Skins, identity: Identity) -> None:
    from stylefacev_cli.faces import skin_textures as module

    zones = module._zones(module.load_mesh())
    picture = module.blend_skin(identity)
    assert picture.shape == (module.HEIGHT, module.WIDTH, 4) and picture.dtype == np.uint8
    assert picture[..., 3].min() >= 1
    assert 110 < picture[..., 3][zones.even].mean() < 146
    face = picture[..., :3][zones.even]
    assert 20 < face.min() and face.max() < 250  # neither black nor burnt out
    red, green, blue = (face.astype(float) ** 2).mean(0)
    assert red > green > blue  # no blue or grey skin


@settings(max_examples=10, deadline=None)
@given(identity=identities, name=st.sampled_from(["age", "gender", "skin_tone", "ruddiness"]))
def test_people_alike_have_skins_alike(
    skins: skins_module.Skins, identity: Identity, name: str
) -> None:
    from stylefacev_cli.faces.skin_textures import blend_skin

    near = replace(identity, **{name: getattr(identity, name) * 0.999})
    gap = np.abs(blend_skin(identity).astype(int) - blend_skin(near))
    assert gap.max() <= 6 and gap.mean() < 0.5


@pytest.mark.parametrize("ancestry", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.3, 0.3, 0.4)])
def test_darker_tones_are_darker(
    skins: skins_module.Skins, ancestry: tuple[float, float, float]
) -> None:
    from stylefacev_cli.faces import skin_textures as module

    zones = module._zones(module.load_mesh())
    tones = np.linspace(0, 1, 9)
    light = [
        (albedo(person(ancestry=ancestry, skin_tone=tone)) @ LUMINANCE)[zones.even].mean()
        for tone in tones
    ]
    assert (np.diff(light) < 0).all()
    assert light[0] > 4 * light[-1]


def test_lips_are_redder_than_skin_in_everybody(skins: skins_module.Skins) -> None:
    from stylefacev_cli.faces import skin_textures as module

    zones = module._zones(module.load_mesh())
    for place in skins.places:
        share = [float(place[1] == o) for o in ("african", "asian", "caucasian")]
        identity = person(ancestry=tuple(share), gender=float(place[2] == "male"))
        colors = albedo(identity)
        lips, skin = colors[zones.lips > 0.7].mean(0), colors[zones.even].mean(0)
        assert lips[0] / lips[1] > 1.15 * skin[0] / skin[1]
        assert lips[2] < 0.9 * skin[2]  # not lilac


def test_no_hair_is_left_on_scalps(skins: skins_module.Skins) -> None:
    from stylefacev_cli.faces import skin_textures as module

    zones = module._zones(module.load_mesh())
    for ancestry in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        light = np.log(albedo(person(ancestry=ancestry)) @ LUMINANCE)
        assert abs(light[zones.scalp > 0.95].mean() - light[zones.even].mean()) < 0.3
        assert light[zones.scalp > 0.95].std() < 0.12


def test_head_and_neck_meet_without_a_seam(skins: skins_module.Skins) -> None:
    from stylefacev_cli.faces import skin_textures as module
    from stylefacev_cli.faces.mesh import load_mesh

    mesh, places = load_mesh(), {}
    for tile, row, inside in (
        (module.HEAD_TILE, module.HEAD_ROW, (mesh.texture > [0.642, 0.145]).all(1)),
        (
            module.NECK_TILE,
            module.NECK_ROW,
            (mesh.texture[:, 1] > 0.74) & (mesh.texture[:, 0] < 0.6),
        ),
    ):
        for r in np.flatnonzero(inside):
            place = mesh.texture[r] * module.PICTURE_SIZE - tile[:2] + (0, row)
            places.setdefault(mesh.render_vertex[r], []).append(place.astype(int))
    pairs = np.array([both for both in places.values() if len(both) == 2])
    assert len(pairs) > 30
    for ancestry in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        light = np.log(albedo(person(ancestry=ancestry)) @ LUMINANCE)
        head, neck = light[pairs[..., 1], pairs[..., 0]].T
        assert abs((head - neck).mean()) < 0.05 and np.abs(head - neck).mean() < 0.1


def test_blends_are_repeatable(skins: skins_module.Skins) -> None:
    from stylefacev_cli.faces import skin_textures as module

    identity = person(age=0.66, gender=0.4)
    first = module.blend_skin(identity)
    module.load_skins.cache_clear()
    np.testing.assert_array_equal(module.blend_skin(identity), first)


def test_the_renderer_draws_the_picture(photographic_studio: LatentRenderer) -> None:
    studio = photographic_studio
    z = studio.factors.sample(np.random.default_rng(3))
    z = studio.factors.with_poses(z, studio.factors.pose_factors(Pose())[None])[0]
    head, scene = studio.head(z), studio.factors.scene_of(z)
    assert head.skin is not None
    green = np.full_like(head.skin, 128)
    green[..., [0, 2]] = 20
    drawn = studio._renderer.render(replace(head, skin=green), scene, Pose()).image.astype(int)
    usual = studio._renderer.render(head, scene, Pose()).image.astype(int)
    size = studio.size_px
    nose = np.s_[size // 2 : size * 5 // 8, size * 7 // 16 : size * 9 // 16]
    assert (drawn[nose][..., 1] > drawn[nose][..., 0]).mean() > 0.9
    assert (usual[nose][..., 0] > usual[nose][..., 1]).mean() > 0.9
    np.testing.assert_array_equal(drawn[: size // 8, : size // 8], usual[: size // 8, : size // 8])
