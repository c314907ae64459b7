"""Rendered faces: the synthetic, exactly labelled clips and stills that models are trained on.

    z [256] ─ factors ─▶ Identity, Scene, Pose ─ posed_head ─▶ PosedHead ─ renderer ─▶ FaceFrame

A FaceFrame is the picture with its landmarks, their visibility, expressions and the share of hair.
There are two looks (`looks`). Photographic: skins, eyes, brows, lashes, hair cards and hats from
MakeHuman's files (`assets`, CC0). Procedural: all is painted here, on the same mesh.

    latent_renderer LatentRenderer: any latent → FaceFrame; keeps the heads of recent people
    dataset         render_set: whole sets of clips or stills; motion: pose tracks of talking heads

    parameters      Identity, Scene and Pose
    factors         FaceFactors: latents ↔ parameters; factor_layout: which factor is where in z;
                    identity_map, scene_map, pose_map: what factors mean; palette: their colours

    assets          the files of mesh and look; targets: reading the mesh's; derived: arrays kept
    mesh            FaceMesh: vertices, shapes, expressions; bake: its occlusion, maps and scalp
    mhclo           FittedMesh: a mesh of MakeHuman's that is fitted to any head
    kernels         normals, rays, rasterising

    head            Head: all that an identity decides; its parts:
                    skin_paint (painted; beard, scalp), skin_textures (blended from pictures)
                    teeth, eyes
                    hair (shells over the scalp), hair_cards (ten styles), hats, accessories
                    cards (brows, lashes), landmarks
    posed_head      PosedHead: expression, gaze and camera; camera: rotation and projection;
                    wrinkles: depths of folds; parts: eyes, teeth, tongue, painted lashes

    renderer        FaceRenderer: what is drawn, in which order; lighting: its uniforms
                    gl_context: context, programs, textures; gl_meshes: vertex arrays
                    shaders: shared GLSL; skin_, part_, hair_ and accessory_shaders
                    readback: picture, share of hair and visibility from what was drawn
"""
