"""The same person four times, each time moving in another way, side by side in one video.

python examples/one_person_many_motions.py [VIDEO.mp4] [MODEL]
"""

import sys
from pathlib import Path

import numpy as np

from stylefacev_cli import load_model
from stylefacev_cli.media import VideoSettings, replacing, video_writer


def main(video: str = "motions.mp4", name_or_folder: str = "default-128") -> None:
    model = load_model(name_or_folder)
    motions = [model.sample(seed=3, num_frames=32, motion_seed=number) for number in range(4)]
    side = model.manifest.resolution
    settings = VideoSettings(4 * side, side, model.manifest.fps)
    with replacing(Path(video)) as part, video_writer(part, "mp4", settings) as writer:
        for frames in zip(*motions, strict=True):
            writer.write(np.concatenate(frames, axis=1))
    print(video)


if __name__ == "__main__":
    main(*sys.argv[1:])
