"""Names of the files of a repository in open_clip's format."""

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
NEEDED = (CONFIG,)
TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "config.json", "*.model")
