"""The studio: renders the synthetic faces that the default model is trained on.

A face has one way through this room:

    z [256] ─ factors ─▶ Identity, Scene, Pose ─ head ─▶ Head ─ renderer ─▶ picture, landmarks

`factors.FaceFactors` turns a latent into named parameters and back, `head.build_head` makes the
person, `studio.Studio` joins both with the renderer, and `dataset.render_set` writes whole sets of
clips or stills. Geometry comes from CC0 assets (`assets`). So do skins, eyes, brows, lashes and
hair in the photographic look; in the procedural look they are painted here (`looks`).
"""
