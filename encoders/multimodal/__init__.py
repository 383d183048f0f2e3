"""Tower and connector of a multimodal model, loaded without its language model."""
