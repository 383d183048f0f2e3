"""A notebook run cell by cell without IPython; `python -m tests.notebook docs/walkthrough.ipynb` stores its outputs.

A cell gives what it prints, and the value of its last line as a notebook would show it as text.
"""

import ast
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Output = dict[str, Any]


def source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def outputs_of(cell: str, names: dict[str, Any], count: int) -> list[Output]:
    """Run one cell in `names`; its outputs in the notebook's own form."""
    tree = ast.parse(cell)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    tree.body = tree.body[:-1] if last else tree.body
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    found: list[Output] = []
    if printed.getvalue():
        found.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": lines(repr(value))}
        found.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return found


def run(notebook: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Output]]]:
    """The cells of code in order, each with what it gives now, in the folder that is the current one."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            yield cell, outputs_of(source(cell), names, count)


def text_of(outputs: Sequence[Output]) -> str:
    """What a reader sees below a cell."""
    return "".join("".join(one["text"] if "text" in one else one["data"]["text/plain"]) + "\n" for one in outputs)


def store(path: Path) -> None:
    """Run a notebook in a folder of its own and keep its outputs in it."""
    import tempfile

    notebook = json.loads(path.read_text(encoding="utf-8"))
    home = path.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for count, (cell, outputs) in enumerate(run(notebook), 1):
            cell["outputs"], cell["execution_count"] = outputs, count  # type: ignore[index]
    home.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    store(Path(sys.argv[1]))
