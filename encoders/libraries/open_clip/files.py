"""The names of the files that an open_clip repository consists of."""

CONFIG = "open_clip_config.json"


WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


NEEDED = (CONFIG,)


TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "config.json", "*.model")
