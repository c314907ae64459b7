"""The errors a user can meet, each with the exit code that the command line returns.

    StyleFaceVError            1   something failed; the message says what to do
    ├── UsageError             2   an argument or a setting makes no sense
    ├── MissingWeightsError    3   a model, asset or weight file is not there
    ├── IntegrityError         4   a file is there, but damaged or not what it claims to be
    └── DataError              5   a data set, a video, a photo … cannot be used, or is not there

Codes 130 (Ctrl-C) and 143 (SIGTERM) belong to signals, see `cli/app.py`.
"""

from __future__ import annotations


class StyleFaceVWarning(UserWarning):
    """Something worth knowing that stops nothing; the command line notes it in one line."""


class StyleFaceVError(Exception):
    """A failure whose one-line message says what, where and what to do next."""

    exit_code = 1


class UsageError(StyleFaceVError):
    """An argument, option or setting that makes no sense."""

    exit_code = 2


class MissingWeightsError(StyleFaceVError):
    """A model, an asset or a weight file that is not on this machine."""

    exit_code = 3


class IntegrityError(StyleFaceVError):
    """A file that is damaged or is not what it claims to be."""

    exit_code = 4


class DataError(StyleFaceVError):
    """A data set, a media file or another input that cannot be used, or is not there."""

    exit_code = 5
