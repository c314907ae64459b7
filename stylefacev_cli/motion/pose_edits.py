"""Edits of pose tracks: other rates, joints, loops, smoothing, more or less motion.

A pose is not an image: the 8×8 numbers of two near poses can be mixed, and give a pose between
them. All of this is arithmetic on tracks; `pose_parts` changes single parts of the face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

import torch
from torch import Tensor

SMOOTHING_ORDER = 2  # of the polynomials of Savitzky and Golay
_LOOP_ENDS = 100  # so many ends of a loop are tried, one frame apart
_WELL_CLOSED = 0.8  # of the median step: pixels follow poses only roughly
_ON_TIME = 1e-6  # of a frame


def resample(poses: Iterable[Tensor], step: float) -> Iterator[Tensor]:
    """Poses at other times, by cubic interpolation (Catmull and Rom 1974), as a stream.

    Args:
        poses: [1, 1, 8, 8] each; may have no end, only four are held.
        step: from one result to the next, in frames of `poses`: 0.5 doubles their number.

    Yields:
        The poses at 0, step, 2·step … as long as there are poses on both sides. None lies below
        both 0 and the poses around it, as mixing may otherwise give.
    """
    assert step > 0, f"a step of {step} frames leads nowhere"
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
            yield _between(around, max(time - at, 0.0))


def crossfaded(first: Tensor, second: Tensor, num_fade: int) -> Tensor:
    """One track after another, the end of the one fading into the beginning of the other.

    Args:
        first: [A, 1, 8, 8].
        second: [B, 1, 8, 8].
        num_fade: frames in which both are there; cut to what the shorter one has.

    Returns:
        [A + B − num_fade, 1, 8, 8].
    """
    num = min(num_fade, len(first), len(second))
    fading = _faded(first[len(first) - num :], second[:num])
    return torch.cat([first[: len(first) - num], fading, second[num:]])


def looped(poses: Tensor, num_fade: int) -> Tensor:
    """A track that goes on from its last frame to its first one as if nothing were there.

    What comes after the end fades into the beginning. The end is put where the poses resemble
    those of the beginning most (up to 100 frames, or a quarter of the track, are given up), among
    the ends from which the step to the first frame is no larger than the median step. Where there
    is none, frames are put between the last and the first one until that holds.

    Args:
        poses: [T, 1, 8, 8].
        num_fade: frames that fade; cut to a third of the track.

    Returns:
        [L, 1, 8, 8].
    """
    num_fade = min(num_fade, len(poses) // 3)
    tried: list[tuple[float, Tensor]] = []
    shortest = len(poses) - min(_LOOP_ENDS, len(poses) // 4)
    for end in range(len(poses), shortest - 1, -1):
        window = poses[:end]
        tried.append((_apart(window, num_fade), _faded_into_itself(window, num_fade)))
    for _, loop in sorted(tried, key=lambda one: one[0]):
        if _closes(loop):
            return loop
    whole = tried[0][1]
    for num in count(1):
        if _closes(loop := _bridged(whole, num)):
            break
    return loop


def loop_of_length(poses: Tensor, num: int, num_fade: int) -> Tensor:
    """A loop of just so many poses, from where a longer track closes best.

    As in `looped`, what comes after the end fades into the beginning; here the beginning is moved.
    Where no beginning closes, the loop is shortened, and frames between its last and its first pose
    make up for it.

    Args:
        poses: [T, K, 8, 8], of one track or of K that are to begin and end together.
        num: L, from 1 to T.
        num_fade: frames that fade; cut to a third of the loop and to what the track has over.

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
        by_distance = sorted((_apart(window, num_fade), i) for i, window in enumerate(windows))
        for margin in (_WELL_CLOSED, 1.0):
            for _, i in by_distance[: 2 * _LOOP_ENDS]:
                loop = _bridged(_faded_into_itself(windows[i], num_fade), num_bridge)
                if _closes(loop, margin):
                    return loop
    raise AssertionError("one pose and its repetitions close")


def smoothed(poses: Tensor, window: int) -> Tensor:
    """Each number of the pose fitted by parabolas over time (Savitzky and Golay 1964).

    Args:
        poses: [T, 1, 8, 8].
        window: frames of each fit, odd, from 3 to T.

    Returns:
        [T, 1, 8, 8]; nothing lies below both 0 and the lowest of `poses`.
    """
    from scipy.signal import savgol_filter

    assert window % 2 == 1 and 3 <= window <= len(poses), f"{window} frames of {len(poses)}"
    filtered = savgol_filter(poses.double().cpu().numpy(), window, SMOOTHING_ORDER, axis=0)
    result = torch.from_numpy(filtered).to(poses)
    return result.clamp(min=min(0.0, float(poses.min())))


def transfer_motion(first_pose: Tensor, poses: Tensor, start: Tensor) -> Tensor:
    """The motion of a driver on top of another face's first pose.

    Args:
        first_pose: [1, 1, 8, 8], of the face that is to move.
        poses: [T, 1, 8, 8], of the driver.
        start: [1, 1, 8, 8], the driver's pose that stands for `first_pose`.

    Returns:
        first_pose + (poses − start), not below 0, as poses of E_pose.
    """
    return (first_pose + (poses - start)).clamp(min=0)


def step_sizes(poses: Tensor) -> Tensor:
    """How far each pose [T, 1, 8, 8] is from the one before: [T − 1]."""
    steps: Tensor = (poses[1:] - poses[:-1]).flatten(1).norm(dim=1)
    return steps


def _between(around: tuple[Tensor, Tensor, Tensor, Tensor], share: float) -> Tensor:
    """p(s) of the cubic with p(0) = p_1, p(1) = p_2 and slopes (p_2 − p_0)/2, (p_3 − p_1)/2."""
    if share == 0:
        return around[1]
    p0, p1, p2, p3 = around
    cubic = (3 * (p1 - p2) + p3 - p0) * share + (2 * p0 - 5 * p1 + 4 * p2 - p3)
    pose = p1 + 0.5 * share * ((p2 - p0) + share * cubic)
    lowest = torch.cat(around).amin(dim=0, keepdim=True).clamp(max=0)
    between: Tensor = torch.maximum(pose, lowest)
    return between


def _faded(leaving: Tensor, coming: Tensor) -> Tensor:
    """From one [N, 1, 8, 8] to the other, gently at both ends; begins with `leaving` itself."""
    share = torch.arange(len(leaving), dtype=leaving.dtype, device=leaving.device)
    share = (share / max(len(leaving), 1)).view(-1, 1, 1, 1)
    return torch.lerp(leaving, coming, share.square() * (3 - 2 * share))


def _apart(window: Tensor, num_fade: int) -> float:
    """How little the end of a window resembles its beginning: the mean square over the fade."""
    if num_fade == 0:
        return float((window[-1] - window[0]).square().mean())
    return float((window[len(window) - num_fade :] - window[:num_fade]).square().mean())


def _faded_into_itself(window: Tensor, num_fade: int) -> Tensor:
    """[T, …] → [T − num_fade, …]: the end fades into the beginning, and goes before the rest."""
    end = len(window) - num_fade
    return torch.cat([_faded(window[end:], window[:num_fade]), window[num_fade:end]])


def _bridged(loop: Tensor, num: int) -> Tensor:
    """So many frames more, straight from the last pose to the first."""
    shares = torch.linspace(0, 1, num + 2, dtype=loop.dtype, device=loop.device)[1:-1]
    return torch.cat([loop, torch.lerp(loop[-1:], loop[:1], shares.view(-1, 1, 1, 1))])


def _closes(loop: Tensor, margin: float = 1.0) -> bool:
    if len(loop) < 2:
        return True
    closing = float((loop[:1] - loop[-1:]).norm())
    return closing <= float(step_sizes(loop).median()) * margin * (1 + 1e-5)
