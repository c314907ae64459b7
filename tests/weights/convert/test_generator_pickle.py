"""The exported generator `.pkl`: what is in it, and what a loader as StyleGAN3's makes of it.

The loader here is written from the description of the format, with our own network for the original
class; beside NVIDIA's own code the file was read once, outside of the repository.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from released_files import SMALL, fill
from safetensors.torch import load_file

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import DiscriminatorConfig
from stylefacev_cli.weights.bundle import load_bundle
from stylefacev_cli.weights.convert.discriminator_weights import load_discriminator
from stylefacev_cli.weights.convert.exporter import export_model, original_arguments
from stylefacev_cli.weights.convert.generator_pickle import generator_pickle
from stylefacev_cli.weights.convert.importer import ImportWishes, import_model
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

RADIAL = GeneratorConfig(**{**vars(SMALL), "conv_kernel": 1, "use_radial_filters": True})


def pickled(config: GeneratorConfig) -> tuple[bytes, Generator]:
    generator = Generator(config).eval()
    fill(generator)
    arguments = original_arguments(to_plain(config))
    return generator_pickle(arguments, generator.state_dict()), generator


class OriginalGenerator(Generator):
    """Takes the arguments of the original class."""

    def __init__(self, *, mapping_kwargs: dict[str, Any], **others: Any) -> None:
        names = {"num_layers": "mapping_layers", "w_avg_beta": "w_avg_beta"}
        mapping = {names[key]: value for key, value in mapping_kwargs.items()}
        super().__init__(GeneratorConfig(**others, **mapping))


def reconstruct(meta: dict[str, Any]) -> object:
    """As the persistence of StyleGAN3: a module of the source text, an object of its class."""
    assert meta["type"] == "class" and meta["version"] == 6
    module = types.ModuleType("imported")
    exec(meta["module_src"], vars(module))
    made = object.__new__(vars(module)[meta["class_name"]])
    made.__setstate__(meta["state"])
    return made


@pytest.fixture
def original_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    networks = types.ModuleType("training.networks_stylegan3")
    networks.Generator = OriginalGenerator  # type: ignore[attr-defined]
    training = types.ModuleType("training")
    training.networks_stylegan3 = networks  # type: ignore[attr-defined]
    persistence = types.ModuleType("torch_utils.persistence")
    persistence._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    torch_utils = types.ModuleType("torch_utils")
    for module in (networks, training, persistence, torch_utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield


@pytest.mark.parametrize("config", [SMALL, RADIAL])
def test_a_loader_as_the_original_makes_the_original_class(
    original_code: None, config: GeneratorConfig
) -> None:
    data, generator = pickled(config)
    loaded = pickle.load(io.BytesIO(data))
    assert set(loaded) == {"G", "G_ema", "D", "augment_pipe", "training_set_kwargs"}
    made = loaded["G_ema"]
    assert type(made) is OriginalGenerator and made is loaded["G"]
    assert not made.training and not any(p.requires_grad for p in made.parameters())
    state = made.state_dict()
    assert all(torch.equal(state[name], value) for name, value in generator.state_dict().items())
    z = torch.randn(1, SMALL.z_dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.mapping(z), generator.mapping(z))
    assert isinstance(loaded["D"], torch.nn.Module) and not list(loaded["D"].parameters())


def test_it_holds_nothing_but_weights_arguments_and_our_lines() -> None:
    data, _ = pickled(SMALL)
    named: set[str] = set()
    texts: set[str] = set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            named.add(argument.replace(" ", "."))
        elif opcode.name == "BINUNICODE":
            texts.add(argument)
    assert named == {
        "torch_utils.persistence._reconstruct_persistent_obj",
        "torch.nn.modules.module.Module",
        "torch._utils._rebuild_tensor_v2",
        "torch.storage._load_from_bytes",
        "collections.OrderedDict",
        *({"builtins.set"} & named),
    }
    (source,) = [text for text in texts if "\n" in text]
    assert len(source.splitlines()) < 30 and "Made by stylefacev" in source
    compile(source, "source", "exec")


@pytest.mark.parametrize("config", [SMALL, RADIAL])
def test_our_reader_reads_it_and_runs_nothing(tmp_path: Path, config: GeneratorConfig) -> None:
    data, generator = pickled(config)
    path = tmp_path / "generator.pkl"
    path.write_bytes(data)
    checkpoint = read_checkpoint(path)
    assert checkpoint.arguments == original_arguments(to_plain(config))
    found, wanted = checkpoint.load(), generator.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    with pytest.raises(IntegrityError, match="holds a NoDiscriminator"):
        load_discriminator(str(path), DiscriminatorConfig(img_resolution=32))


def test_an_exported_pickle_is_the_models_generator(
    tiny_model: Path, home: Path, tmp_path: Path
) -> None:
    """Also where the bundle keeps large weights as float16."""
    export_model(tiny_model, tmp_path / "out")
    made = import_model(
        ImportWishes("bare", {"generator": tmp_path / "out" / "generator.pkl"})
    ).manifest
    before = load_bundle(tiny_model).manifest
    assert made.architecture["generator"] == before.architecture["generator"]
    one, other = (load_file(m.folder / "generator.safetensors") for m in (made, before))
    assert one.keys() == other.keys()
    assert all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )
