"""Edits of pose tracks: resampling, cross-fades, loops, smoothing, transfer to another face.

Poses can be interpolated: a mix of two near poses is a pose between them. All of this is arithmetic
on tracks; `pose_parts` scales single parts of the face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

import torch
from torch import Tensor

SMOOTHING_ORDER = 2  # of the polynomials of Savitzky and Golay
_LOOP_ENDS = 100  # ends of a loop that are tried, one frame apart
_WELL_CLOSED = 0.8  # of the median step: pixels follow poses only roughly
_ON_TIME = 1e-6  # of a frame


def resample(poses: Iterable[Tensor], step: float) -> Iterator[Tensor]:
    """Poses at other times, by cubic interpolation (Catmull and Rom 1974), as a stream.

    Args:
        poses: [1, 1, 8, 8] each; may be endless, since only four are held.
        step: from one result to the next, in frames of `poses`: 0.5 doubles their number.

    Yields:
        The poses at 0, step, 2·step …, while there are poses on both sides. None lies below both 0
        and its neighbours, which interpolation may otherwise give.
    """
    assert step > 0, f"a step of {step} frames is not above 0"
    source = iter(poses)
    here = next(source, None)
    if here is None:
        return
    before, at = here, 0  # `at` is the number of `here`
    ahead, beyond = next(source, None), next(source, None)
    for number in count():
        time = number * step
        while ahead is not None and time >= at + 1 - _ON_TIME:
            before, here, ahead, beyond = here, ahead, beyond, next(source, None)
            at += 1
        if ahead is None:
            if time > at + _ON_TIME:
                return
            yield here
        else:
            around = (before, here, ahead, ahead if beyond is None else beyond)
            yield _interpolate(around, max(time - at, 0.0))


def crossfaded(first: Tensor, second: Tensor, num_fade: int) -> Tensor:
    """Two tracks joined by a cross-fade.

    Args:
        first: [A, 1, 8, 8].
        second: [B, 1, 8, 8].
        num_fade: frames of the overlap, at most the length of the shorter one.

    Returns:
        [A + B − num_fade, 1, 8, 8].
    """
    num = min(num_fade, len(first), len(second))
    fading = _cross_fade(first[len(first) - num :], second[:num])
    return torch.cat([first[: len(first) - num], fading, second[num:]])


def looped(poses: Tensor, num_fade: int) -> Tensor:
    """A track whose last frame leads into its first one without a jump.

    The frames after the end fade into the beginning. The end is where the poses are nearest to
    those of the beginning (up to 100 frames, or a quarter of the track, are dropped), among the
    ends from which the step to the first frame is no larger than the median step. Where there is
    none, frames are inserted between the last and the first one until that holds.

    Args:
        poses: [T, 1, 8, 8].
        num_fade: frames of the cross-fade, at most a third of the track.

    Returns:
        [L, 1, 8, 8].
    """
    num_fade = min(num_fade, len(poses) // 3)
    tried: list[tuple[float, Tensor]] = []
    shortest = len(poses) - min(_LOOP_ENDS, len(poses) // 4)
    for end in range(len(poses), shortest - 1, -1):
        window = poses[:end]
        tried.append((_end_distance(window, num_fade), _cross_fade_ends(window, num_fade)))
    for _, loop in sorted(tried, key=lambda one: one[0]):
        if _closes(loop):
            return loop
    whole = tried[0][1]
    for num in count(1):
        if _closes(loop := _bridged(whole, num)):
            break
    return loop


def loop_of_length(poses: Tensor, num: int, num_fade: int) -> Tensor:
    """A loop of exactly `num` poses, cut out of a longer track where it closes best.

    As in `looped`, the frames after the end fade into the beginning; here the beginning is moved.
    Where no beginning closes, the loop is shortened, and interpolated frames between its last and
    its first pose fill it up.

    Args:
        poses: [T, K, 8, 8], of one track or of K that are to begin and end together.
        num: L, from 1 to T.
        num_fade: frames of the cross-fade; at most a third of the loop, and the rest of the track.

    Returns:
        [L, K, 8, 8].
    """
    assert 1 <= num <= len(poses), f"{num} of {len(poses)} poses"
    num_fade = min(num_fade, num // 3, len(poses) - num)
    for num_bridge in range(num):
        body = num - num_bridge
        windows = [
            poses[start : start + body + num_fade]
            for start in range(len(poses) - body - num_fade + 1)
        ]
        by_distance = sorted(
            (_end_distance(window, num_fade), i) for i, window in enumerate(windows)
        )
        for margin in (_WELL_CLOSED, 1.0):
            for _, i in by_distance[: 2 * _LOOP_ENDS]:
                loop = _bridged(_cross_fade_ends(windows[i], num_fade), num_bridge)
                if _closes(loop, margin):
                    return loop
    raise AssertionError("a single repeated pose always closes")


def smoothed(poses: Tensor, window: int) -> Tensor:
    """Poses smoothed over time by local parabolas (Savitzky and Golay 1964).

    Args:
        poses: [T, 1, 8, 8].
        window: frames of each parabola, odd, from 3 to T.

    Returns:
        [T, 1, 8, 8]; nothing lies below both 0 and the lowest of `poses`.
    """
    from scipy.signal import savgol_filter

    assert window % 2 == 1 and 3 <= window <= len(poses), f"{window} frames of {len(poses)}"
    filtered = savgol_filter(poses.double().cpu().numpy(), window, SMOOTHING_ORDER, axis=0)
    result = torch.from_numpy(filtered).to(poses)
    return result.clamp(min=min(0.0, float(poses.min())))


def transfer_motion(first_pose: Tensor, poses: Tensor, start: Tensor) -> Tensor:
    """The motion of a driver, added to another face's first pose.

    Args:
        first_pose: [1, 1, 8, 8], of the animated face.
        poses: [T, 1, 8, 8], of the driver.
        start: [1, 1, 8, 8], the driver's pose that corresponds to `first_pose`.

    Returns:
        [T, 1, 8, 8]: first_pose + (poses − start), clamped at 0 like the pose extractor's.
    """
    return (first_pose + (poses - start)).clamp(min=0)


def step_sizes(poses: Tensor) -> Tensor:
    """Distances [T − 1] between successive poses [T, 1, 8, 8]."""
    steps: Tensor = (poses[1:] - poses[:-1]).flatten(1).norm(dim=1)
    return steps


def _interpolate(around: tuple[Tensor, Tensor, Tensor, Tensor], share: float) -> Tensor:
    """p(s) of the cubic with p(0) = p_1, p(1) = p_2 and slopes (p_2 − p_0)/2, (p_3 − p_1)/2."""
    if share == 0:
        return around[1]
    p0, p1, p2, p3 = around
    cubic = (3 * (p1 - p2) + p3 - p0) * share + (2 * p0 - 5 * p1 + 4 * p2 - p3)
    pose = p1 + 0.5 * share * ((p2 - p0) + share * cubic)
    lowest = torch.cat(around).amin(dim=0, keepdim=True).clamp(max=0)
    interpolated: Tensor = torch.maximum(pose, lowest)
    return interpolated


def _cross_fade(leaving: Tensor, coming: Tensor) -> Tensor:
    """Eased cross-fade of poses [N, 1, 8, 8]; begins with `leaving` itself."""
    share = torch.arange(len(leaving), dtype=leaving.dtype, device=leaving.device)
    share = (share / max(len(leaving), 1)).view(-1, 1, 1, 1)
    return torch.lerp(leaving, coming, share.square() * (3 - 2 * share))


def _end_distance(window: Tensor, num_fade: int) -> float:
    """Mean squared distance of a window's end from its beginning, over the cross-fade."""
    if num_fade == 0:
        return float((window[-1] - window[0]).square().mean())
    return float((window[len(window) - num_fade :] - window[:num_fade]).square().mean())


def _cross_fade_ends(window: Tensor, num_fade: int) -> Tensor:
    """[T, …] → [T − num_fade, …]: the end fades into the beginning and precedes the rest."""
    end = len(window) - num_fade
    return torch.cat([_cross_fade(window[end:], window[:num_fade]), window[num_fade:end]])


def _bridged(loop: Tensor, num: int) -> Tensor:
    """A loop with `num` more frames, interpolated from the last pose to the first."""
    shares = torch.linspace(0, 1, num + 2, dtype=loop.dtype, device=loop.device)[1:-1]
    return torch.cat([loop, torch.lerp(loop[-1:], loop[:1], shares.view(-1, 1, 1, 1))])


def _closes(loop: Tensor, margin: float = 1.0) -> bool:
    if len(loop) < 2:
        return True
    closing = float((loop[:1] - loop[-1:]).norm())
    return closing <= float(step_sizes(loop).median()) * margin * (1 + 1e-5)
