"""Studio: renders the synthetic faces that the default model is trained on."""
