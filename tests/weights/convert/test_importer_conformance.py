"""Files in the original formats, filled as the conformance vectors are, give the vectors' numbers.

Each generator is written as a snapshot by the persistence mechanism, imported, and rendered by
`load_model(...)`; the other networks go through the published `.pth` files.
"""

from __future__ import annotations

from pathlib import Path

import conformance_vectors
import pytest
import torch
import torch.nn.functional as F
from conformance_vectors import Vectors, relative_error
from persistence_pickles import EasyDict, persistent, snapshot_bytes

from stylefacev_cli import load_model
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.pipeline import Model
from stylefacev_cli.weights.convert.exporter import export_model
from stylefacev_cli.weights.convert.file_names import EXPORT_NAMES
from stylefacev_cli.weights.convert.importer import ImportWishes, import_model

pytestmark = pytest.mark.conformance

RELEASED = "stylegan3-r-256-released"


def write_snapshot(path: Path, vectors: Vectors) -> None:
    """A snapshot whose arguments are those of the vectors, in the original's own words."""
    arguments = dict(vectors.manifest["config"])
    mapping = arguments.pop("mapping_kwargs", {})
    ours = GeneratorConfig(**arguments, mapping_layers=mapping.get("num_layers", 2))
    generator = vectors.fill(Generator(ours)).requires_grad_(False)
    generator.synthesis.input.transform.copy_(vectors.tensor("transform"))
    kwargs = EasyDict(arguments, mapping_kwargs=EasyDict(mapping), num_fp16_res=4)
    path.write_bytes(snapshot_bytes({"G": None, "G_ema": persistent(generator, kwargs)}))


def check_rendering(model: Model, vectors: Vectors) -> None:
    n, z_dim = int(vectors.manifest["n"]), model.networks.generator.config.z_dim
    if int(vectors["truncation_cutoff"]) < 0:
        z = vectors.value(f"{vectors.name}/z", (n, z_dim))
        ws = model.map(z, float(vectors["truncation_psi"]))
        assert relative_error(ws, vectors["ws"]) < 1e-5
    with torch.inference_mode():  # as model.render does, before it clamps
        raw = model.networks.generator.synthesis(vectors.tensor("ws"))
    if "image" in vectors:
        assert relative_error(raw, vectors["image"]) < 1e-4
        wanted = vectors.tensor("image").clamp(-1, 1)
        assert relative_error(model.render(vectors.tensor("ws")), wanted) < 1e-4
    else:
        pool = raw.shape[-1] // vectors["image_pooled"].shape[-1]
        assert relative_error(F.avg_pool2d(raw, pool), vectors["image_pooled"]) < 1e-4
        assert torch.equal(model.render(vectors.tensor("ws")), raw.clamp(-1, 1))


def check_recomposition(model: Model, vectors: Vectors, tolerances: tuple[float, float]) -> None:
    appearance = model.encode(conformance_vectors.test_image())
    assert relative_error(appearance, vectors["appearance"]) < tolerances[0]
    poses = vectors.value("recompose/pose", (2, 1, 8, 8)).abs()
    assert relative_error(model.recompose(appearance, poses), vectors["ws"]) < tolerances[1]
    alone = model.recompose(vectors.tensor("appearance"), poses)
    assert relative_error(alone, vectors["ws"]) < 1e-4


GENERATORS = [
    pytest.param(name, marks=[pytest.mark.slow] if name == RELEASED else [])
    for name in conformance_vectors.names("stylegan3")
]


@pytest.mark.parametrize("name", GENERATORS)
def test_imported_generators_give_the_vectors_numbers(
    name: str, tmp_path: Path, home: Path
) -> None:
    vectors = conformance_vectors.load(name)
    write_snapshot(tmp_path / "network-snapshot-005000.pkl", vectors)
    imported = import_model(ImportWishes("g", {"generator": next(tmp_path.glob("*.pkl"))}))
    assert imported.manifest.missing
    check_rendering(load_model("g"), vectors)
    export_model("g", tmp_path / "out")
    again = import_model(ImportWishes("g", archive=tmp_path / "out", force=True)).manifest
    assert again == imported.manifest


@pytest.mark.slow
def test_all_the_released_files_give_the_vectors_numbers(tmp_path: Path, home: Path) -> None:
    """The model of the paper at its full size: 1.1 GB of weights."""
    folder = tmp_path / "authors"
    folder.mkdir()
    generator = conformance_vectors.load(RELEASED)
    write_snapshot(folder / "network-snapshot-005000.pkl", generator)
    others = {
        "appearance": ("stylefacev-appearance-recomposition", AppearanceRecomposer),
        "landmarks": ("stylefacev-landmark-detector", LandmarkDetector),
        "pose": ("stylefacev-pose-extractor", PoseExtractor),
        "motion": ("stylefacev-motion-sampler", MotionSampler),
        "detector": ("stylefacev-landmark-detector", LandmarkDetector),
    }
    vectors: dict[str, Vectors] = {}
    for network, (name, kind) in others.items():
        vectors[network] = conformance_vectors.load(name)
        state = vectors[network].fill(kind()).state_dict()
        content = {"state_dict": state} if network == "detector" else state
        torch.save(content, folder / EXPORT_NAMES[network])
    imported = import_model(ImportWishes("stylefacev-256", archive=folder)).manifest
    assert imported.missing == () and imported.resolution == 256
    model = load_model("stylefacev-256")
    check_rendering(model, generator)

    image = conformance_vectors.test_image()
    # As the authors sample; see test_appearance on rounding there.
    own = conformance_vectors.load("stylefacev-appearance-recomposition-per-image")
    check_recomposition(model, own, tolerances=(1e-3, 1e-2))
    by_training = ImportWishes("running", archive=folder, normalisation="running")
    assert import_model(by_training).manifest.normalisation == "running"
    check_recomposition(load_model("running"), vectors["appearance"], tolerances=(1e-4, 1e-4))
    assert model.networks.landmarks is not None and model.networks.pose is not None
    with torch.inference_mode():
        maps = model.networks.landmarks((image + 1) / 2)
        heatmaps = vectors["pose"].value("pose/heatmaps", (2, 98, 64, 64), 0, 0.3)
        poses = model.networks.pose(heatmaps)
    assert relative_error(F.avg_pool2d(maps, 8), vectors["landmarks"]["heatmaps_pooled"]) < 1e-4
    assert relative_error(poses, vectors["pose"]["pose"]) < 1e-4
    assert model.networks.motion is not None
    first = vectors["motion"].value("motion/pose0", (2, 64)).abs()
    noise = [vectors["motion"].value(f"motion/noise/{t}", (2, 64)) for t in range(19)]
    with torch.inference_mode():
        rolled, _ = model.networks.motion.roll_out(first, torch.stack(noise, dim=1))
    wanted = vectors["motion"]["poses"]
    assert relative_error(torch.cat([first[:, None], rolled], dim=1), wanted) < 1e-4
    assert sum(1 for _ in model.sample(seed=0, num_frames=1)) == 1

    export_model("stylefacev-256", tmp_path / "out")
    again = import_model(ImportWishes("stylefacev-256", archive=tmp_path / "out", force=True))
    assert again.manifest == imported
