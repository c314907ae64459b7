"""Faces and landmarks in photos and footage.

The names of finders stand here, free of numpy: one rule for all commands, the face mesh unless
another one is named.
"""

FACE_MESH = "face-mesh"  # the default
FACE_ALIGNMENT = "face-alignment"
