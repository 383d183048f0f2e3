"""Where along a multimodal model a fact is lost: tower, connector or joint space, language model, answer."""
