"""The face mesh's networks against LiteRT's: golden values, and itself where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mesh_pictures import enlarged, golden

from stylefacev_cli.common.untrusted.archives import member_bytes, open_archive
from stylefacev_cli.networks.features.face_mesh import (
    BLENDSHAPE_NAMES,
    BLENDSHAPE_POINTS,
    MESH_SIDE_PX,
    NUM_BLENDSHAPES,
)
from stylefacev_cli.weights.convert.face_mesh_weights import (
    FaceMeshNetworks,
    face_mesh_file,
    load_face_mesh,
)

MOST = 1e-3  # of the frame


@pytest.fixture(scope="module")
def networks() -> FaceMeshNetworks:
    return load_face_mesh()


@torch.inference_mode()
def test_points_and_presence_are_those_of_litert(networks: FaceMeshNetworks) -> None:
    points, presence = networks.mesh.raw(enlarged(256))
    expected = golden()["points"].reshape(4, -1)
    np.testing.assert_allclose(points.numpy(), expected, rtol=0, atol=MOST * 256)
    np.testing.assert_allclose(presence.numpy(), golden()["presence"], rtol=0, atol=1e-3)
    found = networks.mesh(enlarged(256))
    np.testing.assert_allclose(found.points[..., :2].numpy(), expected.reshape(4, 478, 3)[..., :2]
                               / 256, rtol=0, atol=MOST)  # fmt: skip
    assert (found.presence > 0.98).all()
    noise = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert (networks.mesh(noise).presence < 0.01).all()


@torch.inference_mode()
def test_boxes_are_those_of_litert(networks: FaceMeshNetworks) -> None:
    anchors = torch.tensor(golden()["anchors"]).long()
    scores, boxes = networks.boxes.raw(enlarged(128) * 2 - 1)
    found = scores.gather(1, anchors)
    np.testing.assert_allclose(found.numpy(), golden()["scores"], rtol=0, atol=1e-3)
    chosen = boxes.gather(1, anchors[:, :, None].expand(-1, -1, 16))
    np.testing.assert_allclose(chosen.numpy(), golden()["boxes"], rtol=0, atol=MOST * 128)


@torch.inference_mode()
def test_a_box_is_around_the_points(networks: FaceMeshNetworks) -> None:
    seen = networks.boxes(enlarged(128))
    best = seen.scores.argmax(1)
    for number, anchor in enumerate(best):
        face = torch.tensor(golden()["points"][number, :, :2]) / 256
        left, top, right, bottom = seen.boxes[number, anchor].tolist()
        middle = face.mean(0)
        assert left < middle[0] < right and top < middle[1] < bottom
        eyes = seen.eye_points[number, anchor, :2]
        irises = face[[468, 473]]
        assert (eyes - irises).norm(dim=1).max() < 0.03


@torch.inference_mode()
def test_blendshapes_are_those_of_litert(networks: FaceMeshNetworks) -> None:
    points = torch.tensor(golden()["points"])[:, list(BLENDSHAPE_POINTS), :2]
    weights = networks.blendshapes(points)
    np.testing.assert_allclose(weights.numpy(), golden()["blendshapes"], rtol=0, atol=1e-4)
    moved = networks.blendshapes(points * 3 + 100)
    torch.testing.assert_close(moved, weights, rtol=0, atol=1e-4)
    assert len(BLENDSHAPE_NAMES) == NUM_BLENDSHAPES == weights.shape[1]


@torch.inference_mode()
def test_a_batch_is_its_pictures(networks: FaceMeshNetworks) -> None:
    together, _ = networks.mesh.raw(enlarged(256))
    alone = torch.cat([networks.mesh.raw(one[None])[0] for one in enlarged(256)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-2)
    with pytest.raises(AssertionError, match="256, 256"):
        networks.mesh(torch.zeros(1, 3, 128, 128))


# --- with LiteRT -------------------------------------------------------------------------------


def litert_outputs(member: str, value: np.ndarray) -> dict[str, np.ndarray]:
    litert: Any = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra litert")
    with open_archive(face_mesh_file()) as archive:
        data = member_bytes(archive, member, 2**24)
    interpreter = litert.Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return {one["name"]: interpreter.get_tensor(one["index"]).copy() for one in outputs}


def twenty_pictures() -> list[torch.Tensor]:
    """Generated frames, the golden pictures, windows of a photograph, noise: [1, 3, 256, 256]."""
    from stylefacev_cli.pipeline import load_model

    model = load_model("default-128", device="cpu")
    frames = [torch.tensor(next(model.sample(seed, 1))) for seed in range(12)]
    pictures = [frame.permute(2, 0, 1)[None].float() / 255 for frame in frames]
    pictures += list(enlarged(256).split(1))
    try:
        from skimage.data import astronaut  # type: ignore[import-untyped]
    except ImportError:
        pass
    else:
        photo = torch.tensor(astronaut()).permute(2, 0, 1)[None].float() / 255
        pictures += [photo[..., :200, 120:320], photo[..., :240, 100:340], photo]
    pictures.append(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    return [F.interpolate(one, (MESH_SIDE_PX, MESH_SIDE_PX), mode="bilinear") for one in pictures]


def test_twenty_pictures_beside_litert(networks: FaceMeshNetworks) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="the extra litert")
    pictures = twenty_pictures()
    assert len(pictures) in (17, 20)  # with scikit-image's photograph or without it
    for picture in pictures:
        image = picture.permute(0, 2, 3, 1).contiguous().numpy()
        theirs = litert_outputs("face_landmarks_detector.tflite", image)
        with torch.inference_mode():
            points, presence = networks.mesh.raw(picture)
        assert np.abs(points.numpy() - theirs["Identity"].reshape(1, -1)).max() <= MOST * 256
        assert abs(float(presence) - float(theirs["Identity_1"].reshape(()))) < 1e-3
        small = F.interpolate(picture, (128, 128), mode="bilinear") * 2 - 1
        theirs = litert_outputs(
            "face_detector.tflite", small.permute(0, 2, 3, 1).contiguous().numpy()
        )
        with torch.inference_mode():
            scores, boxes = networks.boxes.raw(small)
        assert np.abs(scores.numpy() - theirs["classificators"][..., 0]).max() < 1e-3
        assert np.abs(boxes.numpy() - theirs["regressors"]).max() <= MOST * 128
