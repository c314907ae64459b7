"""Video generators of other kinds than StyleFaceV's own, and plug-ins: a seed → frames."""
