"""The documentation's pictures of what commands and options do: a row or a film for each of them.

python examples/pictures.py [FOLDER] [MODEL]

The photo is a rendered one, of a person who was in no training; renders need the extra `render`.
"""

import contextlib
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.media import read_frames
from stylefacev_cli.weights.manifest import read_manifest

TILE_PX = 96  # of each face, whatever the model's resolution
FRAMES = 8  # in a row
PHOTO_SEED = 20261122
FILM_TILE_PX, FILM_STEP, FILM_COLOURS = 72, 3, 96  # films are large: every third frame

# A picture has the row of each of its commands, one below the other.
PICTURES = {
    "sheet": ["--seeds 0-3 --grid"],
    "interpolate": ["--interpolate 3:7:2"],
    "mix": [
        "--seeds 1",
        "--seeds 1 --mix 6:0-3",
        "--seeds 1 --mix 6:4-",
        "--seeds 6 --motion-seed 1",
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
PEOPLE, PEOPLE_FRAMES, PEOPLE_IN_A_ROW = 20, 5, 2
SINGLE_FILMS, SINGLE_TILE_PX = 5, 128
FILMS = {
    "matrix": "--seeds 0-2 --motion-seeds 10-12 --grid --frames 48",
    "loop": "--seeds 2-5 --motion-seeds 10 --frames 48 --loop",
}


def generate(arguments: str, model: str, out: Path) -> Path:
    return make("generate", arguments, model, out)


def make(name: str, arguments: str, model: str, out: Path) -> Path:
    command = [name, "-q", "-m", model, *shlex.split(arguments), "-o", str(out)]
    with contextlib.redirect_stdout(None):
        code = run(command)
    if code != 0:
        sys.exit(f"failed: stylefacev {shlex.join(command)}")
    return out


def row(arguments: str, model: str, work: Path) -> np.ndarray:
    """The contact sheet of a command, each frame TILE_PX wide."""
    sheet = generate(f"{arguments} --format sheet --sheet-frames {FRAMES}", model, work / "row.png")
    resized = tiles(sheet, FRAMES)
    sheet.unlink()
    return resized


def tiles(sheet: Path, num: int) -> np.ndarray:
    """A picture of so many tiles in a row, each made TILE_PX wide."""
    with Image.open(sheet) as picture:
        size = num * TILE_PX, round(picture.height * num * TILE_PX / picture.width)
        return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def reenacted(model: str, work: Path) -> np.ndarray:
    """The driver's row; below it those of who follows, by movements and by poses."""
    driver = generate("--seeds 3", model, work / "driver.mp4")
    videos = [driver]
    for how in ("--relative", "--absolute"):
        arguments = f"--source 0 --driving {driver} --no-crop {how}"
        videos.append(make("reenact", arguments, model, work / f"video{how}.mp4"))
    rows = []
    for video in videos:
        frames = np.stack(list(read_frames(video)))
        some = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
        Image.fromarray(np.concatenate(some, axis=1)).save(work / "row.png")
        rows.append(tiles(work / "row.png", FRAMES))
        (work / "row.png").unlink()
    return np.concatenate(rows)


def inverted(model: str, work: Path) -> np.ndarray:
    """The photo, what the encoder sees and what was found; below them that person in motion."""
    size_px = read_manifest(model).resolution
    render = "data render --kind stills --identities 1 --frames 1 --framing unaligned"
    render += " --look procedural -q"  # the look that the model learnt
    # In a process of its own: Mesa and PyTorch can bring different versions of LLVM.
    command = [*shlex.split(render), "--size", str(size_px), "--seed", str(PHOTO_SEED)]
    command += ["--out", str(work / "photo")]
    subprocess.run(
        [sys.executable, "-m", "stylefacev_cli", *command], check=True, stdout=subprocess.DEVNULL
    )
    (photo,) = (work / "photo").rglob("*.png")
    latent = make("invert", f"{photo} --no-crop", model, work / "photo.safetensors")
    sheet = np.full((2 * TILE_PX, FRAMES * TILE_PX, 3), 255, np.uint8)
    sheet[:TILE_PX, : 3 * TILE_PX] = tiles(latent.with_name(latent.name + ".png"), 3)
    sheet[TILE_PX:] = row(f"--from {latent}", model, work)
    return sheet


def people(model: str, work: Path) -> np.ndarray:
    """The first seeds as they come, some frames of each."""
    arguments = f"--seeds 0-{PEOPLE - 1} --grid --format sheet --sheet-frames {PEOPLE_FRAMES}"
    rows = tiles(generate(arguments, model, work / "people.png"), PEOPLE_FRAMES)
    return np.concatenate(np.split(rows, PEOPLE_IN_A_ROW), axis=1)


def film(arguments: str, model: str, work: Path, tile_px: int = FILM_TILE_PX) -> list[Image.Image]:
    """Every third frame of a command's videos, which stand side by side."""
    pattern = "film.npy" if "--grid" in arguments else "film-{seed}.npy"
    generate(arguments, model, work / pattern)
    paths = sorted(work.glob("film*.npy"))
    frames = np.concatenate([np.load(path) for path in paths], axis=2)[::FILM_STEP]
    for path in paths:
        path.unlink()
    side_px = read_manifest(model).resolution
    size = tuple(frames.shape[axis] * tile_px // side_px for axis in (2, 1))
    resized = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    every = Image.fromarray(np.concatenate([np.asarray(frame) for frame in resized]))
    # Of all frames, as colours can come later; median cut alone leaves out those of dull shirts.
    palette = every.quantize(FILM_COLOURS, kmeans=1)
    return [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in resized]


def save(picture: np.ndarray, path: Path) -> None:
    few_colours = Image.fromarray(picture).quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    few_colours.save(path, optimize=True)
    print(path)


def save_film(frames: list[Image.Image], model: str, path: Path) -> None:
    first, *others = frames
    duration = round(1000 * FILM_STEP / read_manifest(model).fps)
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)
    print(path)


def main(folder: str = "pictures", model: str = "default-128") -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        save(people(model, work), target / "people.png")
        for seed in range(SINGLE_FILMS):
            frames = film(f"--seeds {seed} --frames 64", model, work, SINGLE_TILE_PX)
            save_film(frames, model, target / f"seed-{seed}.gif")
        for picture, commands in PICTURES.items():
            rows = np.concatenate([row(command, model, work) for command in commands])
            save(rows, target / f"{picture}.png")
        save(reenacted(model, work), target / "reenact.png")
        save(inverted(model, work), target / "invert.png")
        for picture, command in FILMS.items():
            save_film(film(command, model, work), model, target / f"{picture}.gif")


if __name__ == "__main__":
    main(*sys.argv[1:])
