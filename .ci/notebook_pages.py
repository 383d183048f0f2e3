"""A hook of mkdocs: every notebook under `docs` is a page of its name, its cells and the text below them as they stand.

mkdocs.yml: `hooks: [.ci/notebook_pages.py]`.
"""

import json
from pathlib import Path
from typing import Any

FENCE = "~~~~"


def markdown(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: prose as it is, code and what it gives in fences."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(text)
            continue
        parts.append(f"{FENCE}python\n{text}\n{FENCE}")
        given = "".join(
            "".join(one["text"] if "text" in one else one["data"]["text/plain"]) for one in cell["outputs"]
        ).rstrip("\n")
        parts += [f"{FENCE}text\n{given}\n{FENCE}"] if given else []
    return "\n\n".join(parts) + "\n"


def on_files(files: Any, config: Any) -> Any:
    """Put a page beside each notebook."""
    from mkdocs.structure.files import File

    for path in sorted(Path(config["docs_dir"]).glob("*.ipynb")):
        text = markdown(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"{path.stem}.md", content=text))
    return files
