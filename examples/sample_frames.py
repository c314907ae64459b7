"""Sample a video in Python and put some of its frames side by side in one picture.

python examples/sample_frames.py [PICTURE.png] [MODEL]
"""

import sys

import numpy as np
from PIL import Image

from stylefacev_cli import load_model


def main(picture: str = "frames.png", name_or_folder: str = "default-128") -> None:
    model = load_model(name_or_folder)
    frames = list(model.sample(seed=3, num_frames=32))  # uint8 [H, W, 3] each
    Image.fromarray(np.concatenate(frames[::4], axis=1)).save(picture)
    print(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
