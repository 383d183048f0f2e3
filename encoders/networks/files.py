"""Where the networks that no library builds are published: repositories and the names of their files."""

BERT_FILES = ("tokenizer*", "special_tokens_map.json", "config.json")  # beside the vocabulary of a BERT
VOCABULARY = ("vocab.txt", "tokenizer.json")
PMC_CLIP = "checkpoint.pt"
PMC_TOKENIZER = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"
FLAMINGO = "model.pt"
FLAMINGO_TOWER = "openai/clip-vit-large-patch14"
MEDVINT_TE = "VQA_lora_pmcclip/vqa/checkpoint-13500/pytorch_model.bin"  # where the authors' test looks for it
MEDVINT_TD = "VQA_lora_PMC_LLaMA_PMCCLIP/choice/checkpoint-4000/pytorch_model.bin"
MEDVINT_START = "pmc_clip/checkpoint.pt"


def stock_tower(name: str) -> bool:
    """Whether a tensor of a stock CLIP is its image tower's."""
    return name.startswith("vision_model.")


PHI3, MOLMO = "model.vision_embed_tokens.", "model.vision_backbone."  # before the names of their image sides


def phi3_vision(name: str) -> bool:
    """Whether a tensor is of the image side of Phi-3-Vision."""
    return name.startswith(PHI3) and not name.startswith(f"{PHI3}wte.")


def molmo(name: str) -> bool:
    """Whether a tensor is of the image side of Molmo."""
    return name.startswith(MOLMO)
