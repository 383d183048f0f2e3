"""A user's own file: its folder can be imported from, its faults have a place, its changes show."""

import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tasks
from plugins import UnknownName, UserFile, UserFileError, load_user_file
from tests.paths import ROOT

NEEDS = {"ask": (None, "a function")}


def loaded(path: Path) -> UserFile:
    return load_user_file(path, "thing", NEEDS, (LookupError,))


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "mine.py"


def ask(path: Path) -> object:
    file = loaded(path)
    return file.function(file.module.ask)()


EAGER = "import helper\ndef ask():\n    return helper.VALUE\n"
LAZY = "def ask():\n    import helper\n    return helper.VALUE\n"


@pytest.mark.parametrize("text", [EAGER, LAZY])
def test_a_helper_beside_the_file_is_found_and_read_anew_by_the_next_load(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write(tmp_path, mine=text, helper="VALUE = 1\n")
    before = list(sys.path), sys.dont_write_bytecode, set(sys.modules)
    first = loaded(path)
    assert first.function(first.module.ask)() == 1
    write(tmp_path, helper="VALUE = 'two'\n")
    assert first.function(first.module.ask)() == 1, "what was loaded stays as it was"
    assert ask(path) == "two"
    assert (list(sys.path), sys.dont_write_bytecode) == before[:2]
    assert not {name for name in set(sys.modules) - before[2] if "helper" in name or "mine" in name}
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("text", [EAGER, LAZY])
def test_two_folders_may_have_files_and_helpers_of_one_name(text: str, tmp_path: Path) -> None:
    files = [loaded(write(tmp_path / name, mine=text, helper=f"VALUE = {name!r}\n")) for name in ("a", "b")]
    for _ in range(2):
        assert [file.function(file.module.ask)() for file in files] == ["a", "b"]


def test_a_helper_that_the_caller_has_imported_from_elsewhere_is_the_caller_s_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "caller", helper="VALUE = 'the caller'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "caller"))
    import helper  # pyright: ignore[reportMissingImports]

    try:
        assert ask(write(tmp_path / "user", mine=LAZY, helper="VALUE = 'the user'\n")) == "the user"
        assert sys.modules["helper"] is helper
    finally:
        del sys.modules["helper"]


def test_a_package_in_the_folder_is_a_helper_and_a_library_is_none(tmp_path: Path) -> None:
    (tmp_path / "tools" / "deep").mkdir(parents=True)
    write(tmp_path / "tools" / "deep", core="VALUE = 3\n")
    (tmp_path / "tools" / "__init__.py").write_text("from .deep import core\n")
    path = write(tmp_path, mine="import json, numpy, tools\ndef ask():\n    return tools.core.VALUE\n")
    file = loaded(path)
    assert file.function(file.module.ask)() == 3
    assert {p.relative_to(tmp_path).as_posix() for p in file.sources} == {
        "mine.py", "tools/__init__.py", "tools/deep/core.py",
    }  # fmt: skip
    assert {"json", "numpy"} <= file.libraries
    assert "numpy" in sys.modules


def test_modules_of_the_project_and_of_libraries_are_nobody_s_helpers() -> None:
    file = UserFile(path=ROOT / "mine.py")
    assert file.owns(ROOT / "helper.py")
    assert file.owns(ROOT / "tools" / "helper.py")
    for other in (tasks.__file__, np.__file__, threading.__file__, ROOT.parent / "helper.py"):
        assert not file.owns(Path(str(other)))


def test_threads_do_not_take_one_anothers_folder_away(tmp_path: Path) -> None:
    text = "import time\ndef ask():\n    time.sleep(.01)\n    import helper\n    return helper.VALUE\n"
    paths = [write(tmp_path / str(k), mine=text, helper=f"VALUE = {k}\n") for k in range(4)]
    found: dict[int, object] = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: ask(paths[k])})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: k for k in range(4)}


# what goes wrong


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"mine": "1/0\n"}, "mine.py, line 1: ZeroDivisionError: division by zero"),
        ({"mine": "x = 1\ndef f(:\n"}, "mine.py, line 2: SyntaxError: invalid syntax"),
        ({"mine": "import helper\n", "helper": "\n\n1/0\n"}, "helper.py, line 3: ZeroDivisionError: division by zero"),
        ({"mine": "import helper\n", "helper": "\ndef f(:\n"}, "helper.py, line 2: SyntaxError: invalid syntax"),
        ({"mine": "import json\njson.loads('{')\n"}, "mine.py, line 2: JSONDecodeError: Expecting property name"),
        ({"mine": "assert 0\n"}, "mine.py, line 1: AssertionError"),
        ({"mine": "raise RuntimeError('two\\n lines')\n"}, "mine.py, line 1: RuntimeError: two lines"),
        ({"mine": ""}, "mine.py does not define ask (a function); the file of your own thing defines ask"),
        ({"mine": "ask = 3\n"}, "mine.py: ask is a int; it must be a function"),
        ({"mine": "ask = print\nFILES = 'no.pt'\n"}, "mine.py: FILES names 'no.pt', which does not exist ("),
        ({"mine": "ask = print\nFILES = 3\n"}, "mine.py: FILES is 3; it must be a tuple of paths"),
    ],
)
def test_a_file_that_fails_is_told_in_one_line_with_its_place(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserFileError) as caught:
        loaded(write(tmp_path, **files))
    assert str(caught.value).startswith(f"{tmp_path}/{said}")
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_function_that_fails_is_told_when_it_is_called_and_a_generator_at_its_step(tmp_path: Path) -> None:
    path = write(tmp_path, mine="def ask():\n    yield 1\n    raise KeyError('eye')\n")
    file = loaded(path)
    steps = file.function(file.module.ask)()
    assert next(steps) == 1
    with pytest.raises(KeyError):  # the file passes a LookupError on
        next(steps)
    write(
        tmp_path,
        mine="def ask():\n    yield 1\n    import helper\n    yield helper.VALUE\n    1/0\n",
        helper="VALUE = 2",
    )
    file = loaded(path)
    steps = file.function(file.module.ask)()
    assert [next(steps), next(steps)] == [1, 2]
    with pytest.raises(UserFileError, match=r"mine\.py, line 5: ZeroDivisionError: division by zero"):
        next(steps)


def test_an_error_that_is_no_line_of_the_user_s_can_be_passed_on(tmp_path: Path) -> None:
    file = loaded(write(tmp_path, mine="def ask(call):\n    return call()\n"))

    def fails() -> None:
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        file.function(fails, always=False)()
    with pytest.raises(UserFileError, match=r"mine\.py: OSError: the disk"):
        file.function(fails)()
    with pytest.raises(UserFileError, match=r"mine\.py, line 2: OSError: the disk"):
        file.function(file.module.ask, always=False)(fails)


def test_a_path_that_is_no_file_is_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match=r"no thing file '.*mine\.py': give the path of a Python file that defines ask"
    ):
        loaded(tmp_path / "mine.py")


# what a file is made of


def digests(path: Path, *changes: tuple[str, str]) -> list[str]:
    """The digest before and after each change of a file's text."""
    found = [loaded(path).digest()]
    for name, text in changes:
        (path.parent / name).write_text(text)
        found.append(loaded(path).digest())
    return found


@pytest.mark.parametrize("text", [EAGER, LAZY])
@pytest.mark.parametrize("changed", ["mine.py", "helper.py", "weights.bin", "more/deep/x.txt"])
def test_a_change_of_anything_it_is_made_of_shows(text: str, changed: str, tmp_path: Path) -> None:
    path = write(tmp_path, mine=text + "FILES = ('weights.bin', 'more')\n", helper="VALUE = 1\n")
    (tmp_path / "weights.bin").write_text("w")
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "more" / "deep" / "x.txt").write_text("x")
    was = (tmp_path / changed).read_text()
    one, two, again = digests(path, (changed, was + "\n#"), (changed, was))
    assert one != two
    assert one == again


def test_a_strangers_file_does_not_count_and_a_new_one_in_a_declared_folder_does(tmp_path: Path) -> None:
    path = write(tmp_path, mine="from pathlib import Path\nFILES = [Path('more')]\n" + LAZY, helper="VALUE = 1\n")
    (tmp_path / "more").mkdir()
    one, two, three = digests(path, ("other.py", "1/0"), ("more/new.txt", ""))
    assert one == two != three


def test_where_it_lies_does_not_count(tmp_path: Path) -> None:
    texts = {"mine": EAGER + "FILES = ('helper.py',)\n", "helper": "VALUE = 1\n"}
    assert len({loaded(write(tmp_path / name, **texts)).digest() for name in "ab"}) == 1


def test_declaring_nothing_and_declaring_none_are_two_things(tmp_path: Path) -> None:
    assert loaded(write(tmp_path, mine="ask = print\n")).declared is None
    assert loaded(write(tmp_path, mine="ask = print\nFILES = ()\n")).declared == ()


def test_the_pictures_of_an_edited_task_are_other_pictures_whatever_it_calls_them(tmp_path: Path) -> None:
    """The file gives the same identity to what it shows now and to what it showed before."""
    import tasks

    file = tmp_path / "mine.py"
    text = (ROOT / "docs" / "examples" / "task.py").read_text()

    def identity(body: str) -> str | None:
        file.write_text(body)
        task = tasks.load(str(file))
        assert task.phantoms is not None
        made = list(task.items(task.phantoms(4, 0), np.random.default_rng(0), None))
        return next(item for item in made if item.label == "negative").picture.identity

    before = identity(text)
    assert identity(text) == before
    assert identity(text.replace("255 - row.picture.read()", "row.picture.read()")) != before
