"""An audit of visual prompts: presentations, controls, answers, page and figure."""
