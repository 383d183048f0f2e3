"""HuatuoGPT-Vision: LLaVA-1.5's tower and connector before Qwen2-7B or Yi-34B. Chen et al. 2024, arXiv:2406.19280.

The 7B repository has the authors' own layout, the 34B one the library's. A later upload, HuatuoGPT-Vision-7B-hf, is the
former in the library's layout: `hf:FreedomIntelligence/HuatuoGPT-Vision-7B-hf` reads it.
"""

from dataclasses import replace

from encoders._base import Card
from encoders.answering.llava import LLAVA, authors
from encoders.multimodal.checkpoint import checkpoint
from encoders.multimodal.kind import FILES
from encoders.networks.llava import PAD, config, descendant, processor, sites

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "{{ ' ' if message['role'] == 'assistant' else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ORIGIN = "its authors' code (HuatuoGPT-Vision, cli.py); the repository has none"
LAST = -1  # the last row of the embedding, behind all tokens of the tokenizer: it marks the image's positions
SEVEN = descendant(
    "llava_qwen2", "Qwen2", authors("Qwen2", LAST, TEMPLATE, ORIGIN), hidden_size=3584,
    intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
    num_key_value_heads=4, vocab_size=152064,
)  # fmt: skip
LARGE = replace(
    SEVEN,
    config=config(
        "Llava", "Llama", hidden_size=7168, intermediate_size=20480, num_hidden_layers=60, num_attention_heads=56,
        num_key_value_heads=8, vocab_size=64064,
    ),
    foreign=(),
    processor=processor("LlavaImageProcessorPil", do_pad=True),
    others=FILES,
    answers=replace(LLAVA, template=TEMPLATE, template_of=ORIGIN),
)  # fmt: skip
CARD = Card(
    name="huatuo-vision-7b",
    repo="FreedomIntelligence/HuatuoGPT-Vision-7B",
    licence="Apache-2.0",
    parameters=320_029_696,
    bytes=640_059_392,
    bytes_whole=15_871_292_416,
    input=PAD,
    sites=sites(3584),
    note="padded to a square, as the authors' code does",
    unverified="configuration, shard placement, licence",
)

CHECKPOINTS = (
    checkpoint(CARD, SEVEN),
    checkpoint(
        replace(
            CARD,
            name="huatuo-vision-34b",
            repo="FreedomIntelligence/HuatuoGPT-Vision-34B-hf",
            parameters=362_242_048,
            bytes=724_484_096,
            bytes_whole=69_504_153_600,
            sites=sites(7168),
        ),
        LARGE,
    ),
)
