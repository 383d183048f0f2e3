"""Visual prompts: whether an answer about a mark follows its place or its colour."""
