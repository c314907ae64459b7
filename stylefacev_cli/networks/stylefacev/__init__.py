"""The networks of StyleFaceV: appearance, pose, landmarks, motion and their discriminators."""
