"""The README's pictures of what the options of `generate` do: a row or a film for each command.

python examples/pictures.py [FOLDER] [MODEL]
"""

import contextlib
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.weights.manifest import read_manifest

TILE_PX = 96  # of each face, whatever the model's resolution
FRAMES = 8  # in a row
FILM_TILE_PX, FILM_STEP, FILM_COLOURS = 72, 3, 96  # films are large: every third frame

# A picture has the row of each of its commands, one below the other.
PICTURES = {
    "sheet": ["--seeds 0-3 --grid"],
    "interpolate": ["--interpolate 3:7:2"],
    "mix": [
        "--seeds 3",
        "--seeds 3 --mix 5:0-3",
        "--seeds 3 --mix 5:4-",
        "--seeds 5 --motion-seed 3",
    ],
    "camera": [
        "--seeds 0 --shift -0.2,0:0.2,0",
        "--seeds 0 --rotate -10:10",
        "--seeds 0 --zoom 0.9:1.25",
    ],
    "motion": [
        "--seeds 3",
        "--seeds 3 --motion-scale 0.3",
        "--seeds 3 --motion-scale 1.7",
        "--seeds 3 --scale head=0",
    ],
}
FILMS = {
    "matrix": "--seeds 0-2 --motion-seeds 10-12 --grid --frames 48",
    "loop": "--seeds 2-5 --motion-seeds 10 --frames 48 --loop",
}


def generate(arguments: str, model: str, out: Path) -> Path:
    command = ["generate", "-q", "-m", model, *shlex.split(arguments), "-o", str(out)]
    with contextlib.redirect_stdout(None):
        code = run(command)
    if code != 0:
        sys.exit(f"failed: stylefacev {shlex.join(command)}")
    return out


def row(arguments: str, model: str, work: Path) -> np.ndarray:
    """The contact sheet of a command, each frame TILE_PX wide."""
    sheet = generate(f"{arguments} --format sheet --sheet-frames {FRAMES}", model, work / "row.png")
    with Image.open(sheet) as picture:
        height = round(picture.height * FRAMES * TILE_PX / picture.width)
        resized = picture.convert("RGB").resize(
            (FRAMES * TILE_PX, height), Image.Resampling.BICUBIC
        )
    sheet.unlink()
    return np.asarray(resized)


def film(arguments: str, model: str, work: Path) -> list[Image.Image]:
    """Every third frame of a command's videos, which stand side by side."""
    pattern = "film.npy" if "--grid" in arguments else "film-{seed}.npy"
    generate(arguments, model, work / pattern)
    paths = sorted(work.glob("film*.npy"))
    frames = np.concatenate([np.load(path) for path in paths], axis=2)[::FILM_STEP]
    for path in paths:
        path.unlink()
    side_px = read_manifest(model).resolution
    size = tuple(frames.shape[axis] * FILM_TILE_PX // side_px for axis in (2, 1))
    resized = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    palette = resized[0].quantize(FILM_COLOURS)
    return [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in resized]


def main(folder: str = "pictures", model: str = "default-64") -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for picture, commands in PICTURES.items():
            rows = np.concatenate([row(command, model, work) for command in commands])
            few_colours = Image.fromarray(rows).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
            few_colours.save(target / f"{picture}.png", optimize=True)
            print(target / f"{picture}.png")
        for picture, command in FILMS.items():
            first, *others = film(command, model, work)
            fps = read_manifest(model).fps / FILM_STEP
            first.save(
                target / f"{picture}.gif",
                save_all=True,
                append_images=others,
                duration=round(1000 / fps),
                loop=0,
            )
            print(target / f"{picture}.gif")


if __name__ == "__main__":
    main(*sys.argv[1:])
