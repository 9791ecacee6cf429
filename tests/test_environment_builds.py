"""Environments are built once, by a process of its own, and are noticed when damaged."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from aml_jupyter.environments import cache, lock, uv_settings, why
from aml_jupyter.environments.cache import Build, BuildState, Built
from aml_jupyter.environments.making import Site
from aml_jupyter.environments.recipe import VENV, Recipe
from aml_jupyter.environments.shelf import Shelf
from aml_jupyter.environments.venv import fault, split
from aml_jupyter.errors import ServiceException
from aml_jupyter.spec.frameworks import TORCH_FOR_CPU

SECONDS = 60


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes] | None = None) -> Path:
    """Write a wheel with one module of that name, and more files if given."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')}"
        f",{len(data)}"
        for path, data in content.items()
    ]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    wheel(folder, "greet", "1.0")
    wheel(folder, "greet", "2.0")
    wheel(folder, "words", "3.1")
    return folder


def recipe_of(wheels: Path, *packages: str) -> Recipe:
    return Recipe(VENV, pip=("--no-index", f"--find-links {wheels}", *packages))


class Slow:
    """A project whose build counts itself and waits for leave to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "slow"
        self.starts = folder / "starts"
        self.go = folder / "go"
        self.folder.mkdir()
        (self.folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1.0"\n'
        )
        (self.folder / "backend.py").write_text(
            textwrap.dedent(f"""
            import os, shutil, time

            def build_wheel(folder, config_settings=None, metadata_directory=None):
                with open({str(self.starts)!r}, "a") as file:
                    file.write(f"{{os.getpid()}}\\n")
                while not os.path.exists({str(self.go)!r}):
                    time.sleep(0.02)
                name = "slow-1.0-py3-none-any.whl"
                shutil.copy({str(folder / "ready" / "slow-1.0-py3-none-any.whl")!r}, folder)
                return name
            """)
        )
        wheel(folder / "ready", "slow", "1.0")
        self.recipe = Recipe(VENV, pip=("--no-index", str(self.folder)))

    def begun(self) -> list[int]:
        """The pids of the builds that began, of which the last may be at it."""
        return [int(pid) for pid in self.starts.read_text().split()] if self.starts.exists() else []


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    project = Slow(tmp_path)
    yield project
    project.go.touch()


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "still not so"
        time.sleep(0.02)
    return found


def end_of(build: Build) -> BuildState:
    state = until(lambda: state if (state := build.state()).is_over else None)
    until(lambda: not Shelf.of(build.recipe.key).is_building)
    assert isinstance(state, BuildState)
    return state


def begin(recipe: Recipe, by: str = "me", name: str = "test", **more: Any) -> Build:
    return Build.begin(recipe, wanted_by=by, name=name, **more)


def built(recipe: Recipe, **more: Any) -> Built:
    state = end_of(begin(recipe, **more))
    assert state.error is None, f"{state.error}\n{log_of(recipe)}"
    assert state.built is not None
    return state.built


def log_of(recipe: Recipe) -> str:
    return Shelf.of(recipe.key).log.read_text()


def says(environment: Built, code: str) -> str:
    command = [environment.interpreter, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def site_packages(environment: Built) -> Path:
    [folder] = (environment.folder / "env" / "lib").glob("python*/site-packages")
    return folder


def elsewhere(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that has this file's imports."""
    head = "import json, sys, time\nfrom aml_jupyter.environments import Build, Recipe\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


WAIT = """
build = Build.begin(Recipe.from_json(json.loads(sys.argv[1])), wanted_by=sys.argv[2])
print("began", flush=True)
while not (state := build.state()).is_over:
    time.sleep(0.02)
print(state.phase, state.error or "")
"""


def waiting(recipe: Recipe, by: str) -> subprocess.Popen[str]:
    return elsewhere(WAIT, json.dumps(recipe.to_json()), by)


# Building and finding -----------------------------------------------------------------------


def test_an_environment_is_built_and_then_found_at_once(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet==1.0", "words")
    assert cache.find(recipe) is None
    environment = built(recipe)
    assert says(environment, "import greet, words; print(greet.VERSION)") == "1.0"
    assert environment.packages == ("greet==1.0", "words==3.1")
    assert environment.python == "{}.{}.{}".format(*sys.version_info)
    assert (environment.key, environment.kind, environment.name) == (recipe.key, VENV, "test")
    found = cache.find(recipe)
    assert found is not None
    assert (found.interpreter, found.packages) == (environment.interpreter, environment.packages)
    assert "never built here before" in log_of(recipe)
    assert " + greet==1.0" in log_of(recipe)


def test_beginning_what_stands_ready_builds_nothing(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    first = built(recipe)
    inode = os.stat(first.folder / "env").st_ino
    assert built(recipe).made == first.made
    assert os.stat(first.folder / "env").st_ino == inode


def test_other_packages_are_another_environment(wheels: Path) -> None:
    one, two = built(recipe_of(wheels, "greet==1.0")), built(recipe_of(wheels, "greet==2.0"))
    assert one.folder != two.folder
    assert [says(each, "import greet; print(greet.VERSION)") for each in (one, two)] == [
        "1.0",
        "2.0",
    ]
    assert [each.key for each in cache.all_built()] == [two.key, one.key]
    until(lambda: all(each.size > 1000 for each in cache.all_built()))


def test_an_environment_without_packages_is_a_python(wheels: Path) -> None:
    environment = built(recipe_of(wheels))
    assert environment.packages == ()
    assert says(environment, "import sys; print(sys.prefix)") == str(environment.folder / "env")


def test_nothing_but_what_is_named_is_installed_without_dependencies(tmp_path: Path) -> None:
    metadata = b"Metadata-Version: 2.1\nName: top\nVersion: 1\nRequires-Dist: below\n"
    wheel(tmp_path / "w", "top", "1", {"top-1.dist-info/METADATA": metadata})
    recipe = recipe_of(tmp_path / "w", "--no-deps", "top==1")
    assert built(recipe).packages == ("top==1",)


def test_environments_are_removed_with_what_they_take(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    environment = built(recipe)
    size = until(lambda: cache.all_built()[0].size)
    assert cache.remove(recipe.key) == size
    assert not environment.folder.exists()
    assert cache.find(recipe) is None
    assert cache.all_built() == []
    assert cache.remove(recipe.key) == 0


def test_only_keys_name_an_environment() -> None:
    for key in ("", "..", "../../etc", "names", "0" * 19, "g" * 20):
        with pytest.raises(ServiceException, match="not the key"):
            cache.remove(key)


# Many at once, and what is killed -----------------------------------------------------------


@pytest.mark.slow
def test_ten_processes_at_once_build_once(slow: Slow) -> None:
    waiters = [waiting(slow.recipe, f"run-{number}") for number in range(10)]
    for waiter in waiters:
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "began\n"
    slow.go.touch()
    assert [waiter.communicate(timeout=SECONDS)[0].strip() for waiter in waiters] == ["ready"] * 10
    assert len(slow.begun()) == 1
    assert log_of(slow.recipe).count("Building environment") == 1


def test_a_build_goes_on_when_whoever_began_it_is_killed(slow: Slow) -> None:
    starter = waiting(slow.recipe, "run-1")
    until(slow.begun)
    starter.kill()
    starter.communicate()
    build = begin(slow.recipe, by="run-1")
    assert build.state().phase == "building"
    slow.go.touch()
    assert end_of(build).phase == "ready"
    assert len(slow.begun()) == 1


def test_a_killed_builder_is_replaced_and_what_it_began_is_ended(slow: Slow) -> None:
    build = begin(slow.recipe)
    [first] = until(slow.begun)
    shelf = Shelf.of(slow.recipe.key)
    (shelf.env / "left-behind").write_text("")
    os.kill(shelf.read("builder")["pid"], signal.SIGKILL)
    until(lambda: build.state().phase == "building" and len(slow.begun()) == 2)
    assert not is_running(first)
    slow.go.touch()
    assert end_of(build).phase == "ready"
    assert not (shelf.env / "left-behind").exists()
    assert "ended from outside" in log_of(slow.recipe)


def test_a_build_that_fails_ends_what_it_began(slow: Slow) -> None:
    # Its own build command leaves a process behind, as one that is killed does.
    left = slow.folder.parent / "left"
    (slow.folder / "backend.py").write_text(
        textwrap.dedent(f"""
        import subprocess, sys

        def build_wheel(folder, config_settings=None, metadata_directory=None):
            sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
            quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            child = subprocess.Popen(sleep, start_new_session=True, **quiet)
            with open({str(left)!r}, "w") as file:
                file.write(str(child.pid))
            raise SystemExit("no wheel today")
        """)
    )
    state = end_of(begin(slow.recipe))
    assert state.phase == "failed"
    assert "no wheel today" in log_of(slow.recipe)
    assert not is_running(int(left.read_text()))


def test_a_builder_that_is_killed_again_and_again_is_given_up(slow: Slow) -> None:
    secrets = {"netrc": "machine index.test login me password correct-horse\n"}
    build = begin(slow.recipe, secrets=secrets)
    for times in (1, 2):
        until(lambda: build.state().phase == "building" and len(slow.begun()) == times)  # noqa: B023
        os.kill(Shelf.of(slow.recipe.key).read("builder")["pid"], signal.SIGKILL)
    state = end_of(build)
    assert state.phase == "failed"
    assert "killed" in str(state.error)
    assert cache.find(slow.recipe) is None
    assert not Shelf.of(slow.recipe.key).scratch.exists()


def test_what_a_killed_builder_left_is_never_found_and_built_anew(slow: Slow) -> None:
    begin(slow.recipe)
    until(slow.begun)
    shelf = Shelf.of(slow.recipe.key)
    os.kill(shelf.read("builder")["pid"], signal.SIGKILL)
    until(lambda: not shelf.is_building)
    assert cache.find(slow.recipe) is None
    slow.go.touch()
    assert built(slow.recipe).packages == (f"slow @ {slow.folder.as_uri()}",)


def test_the_last_who_leaves_ends_the_build_and_all_of_it(slow: Slow) -> None:
    one, two = begin(slow.recipe, by="run-1"), begin(slow.recipe, by="run-2")
    [backend] = until(slow.begun)
    one.leave("run-1")
    assert two.state().phase == "building"
    assert is_running(backend)
    two.leave("run-2")
    shelf = Shelf.of(slow.recipe.key)
    assert not shelf.is_building
    until(lambda: not is_running(backend))
    assert not shelf.env.exists()
    assert not shelf.scratch.exists()
    assert cache.find(slow.recipe) is None


def test_leaving_what_is_ready_keeps_it(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    build = begin(recipe, by="run-1")
    until(lambda: build.state().phase == "ready")
    build.leave("run-1")
    assert cache.find(recipe) is not None


def test_what_is_being_built_is_not_removed(slow: Slow) -> None:
    build = begin(slow.recipe)
    until(slow.begun)
    with pytest.raises(ServiceException, match="being built now"):
        cache.remove(slow.recipe.key)
    slow.go.touch()
    assert end_of(build).phase == "ready"


def test_whoever_waits_while_an_environment_is_removed_builds_it_anew(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    built(recipe)
    with Shelf.of(recipe.key).door():
        # Both come to the door while it is shut; one of them takes all away, door and all.
        remover = elsewhere(
            "from aml_jupyter.environments import cache\n"
            "print('coming', flush=True)\n"
            "cache.remove(sys.argv[1])\n",
            recipe.key,
        )
        assert remover.stdout is not None
        assert remover.stdout.readline() == "coming\n"
        time.sleep(0.5)
        waiter = waiting(recipe, "me")
        time.sleep(0.5)
    assert waiter.communicate(timeout=SECONDS)[0].split() == ["began", "ready"]
    remover.communicate(timeout=SECONDS)
    assert remover.returncode == 0
    assert cache.find(recipe) is not None
    assert not list(Shelf.of(recipe.key).scratch.parent.glob("removed-*"))


def test_who_only_looks_whether_it_is_built_is_not_taken_for_a_builder(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    built(recipe)
    looks = os.open(Shelf.of(recipe.key).folder / "lock", os.O_RDWR)
    fcntl.flock(looks, fcntl.LOCK_SH)
    threading.Timer(0.3, os.close, [looks]).start()
    cache.remove(recipe.key)
    assert cache.find(recipe) is None


def test_how_far_it_is_can_be_read_while_it_builds(slow: Slow) -> None:
    build = begin(slow.recipe, name="mine", notes=["azureml-core: left out"])
    until(slow.begun)
    state = build.state()
    assert (state.phase, state.why) == ("building", ("never built here before",))
    text = build.read_log().decode()
    assert "Building environment mine" in text
    assert "azureml-core: left out" in text
    assert build.read_log(5, 3).decode() == text[5:8]
    slow.go.touch()
    assert end_of(build).phase == "ready"


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# Failure ------------------------------------------------------------------------------------


def test_a_failure_quotes_the_resolver_and_names_the_line(wheels: Path) -> None:
    recipe = recipe_of(wheels, "words", "greet==9.0")
    state = end_of(begin(recipe))
    assert state.phase == "failed"
    assert state.error is not None
    assert state.error.line == "greet==9.0"
    assert "no version of greet==9.0" in state.error.message
    assert "'greet==9.0'" in state.error.hint
    assert "no version of greet==9.0" in state.error.said
    assert cache.find(recipe) is None
    assert not Shelf.of(recipe.key).env.exists()


def test_all_who_wait_get_the_failure_and_the_next_tries_again(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet==9.0")
    one, two = begin(recipe, by="run-1"), begin(recipe, by="run-2")
    states = [end_of(one), end_of(two)]
    assert [state.phase for state in states] == ["failed", "failed"]
    assert log_of(recipe).count("Building environment") == 1
    wheel(wheels, "greet", "9.0")
    assert built(recipe, by="run-3").packages == ("greet==9.0",)
    assert one.state().phase == "failed"


LINES = (
    "--index-url https://example.org/simple",
    "torch==1.4",
    "scikit-learn>=1",
    "foo bar",
    "six ; python_version < '3'",
)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Because scikit-learn was not found and you require scikit-learn>=1, we", LINES[2]),
        ("Because scikit_learn was not found in the package registry", LINES[2]),
        ("And because you require numpy and torch==1.4, we can conclude", LINES[1]),
        ("Couldn't parse requirement in `/x/requirements.txt` at position 69\n foo", LINES[3]),
        ("Unexpected '-', expected '-c': /x/requirements.txt:5:1", LINES[4]),
        ("Failed to build `torch==1.4`", LINES[1]),
        ("something else went wrong with torchvision", ""),
    ],
)
def test_the_line_at_fault_is_found_in_uvs_words(said: str, line: str) -> None:
    assert fault(LINES, said) == line


@pytest.mark.service("mount")
def test_a_full_disk_is_told_with_a_remedy_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
    try:
        monkeypatch.setenv("AML_HOME", str(small))
        wheel(tmp_path / "w", "large", "1", {"large/data": os.urandom(4 << 20)})
        recipe = recipe_of(tmp_path / "w", "large")
        state = end_of(begin(recipe))
        assert state.error is not None
        assert "No room left" in state.error.message
        assert "aml env prune" in state.error.hint
        assert cache.find(recipe) is None
        assert not Shelf.of(recipe.key).env.exists()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_home_that_cannot_be_written_is_told(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AML_HOME", str(tmp_path / "file"))
    state = begin(recipe_of(wheels, "greet")).state()
    assert state.phase == "failed"
    assert str(tmp_path / "file") in str(state.error)


# Damage -------------------------------------------------------------------------------------


def lose_interpreter(environment: Built) -> None:
    os.unlink(environment.interpreter)


def lose_base(environment: Built) -> None:
    os.unlink(environment.interpreter)
    os.symlink("/nowhere/bin/python3.11", environment.interpreter)


def change_base(environment: Built) -> None:
    os.unlink(environment.interpreter)
    os.symlink("/bin/sh", environment.interpreter)


def lose_package(environment: Built) -> None:
    os.rename(site_packages(environment) / "greet", site_packages(environment) / "__pycache__")


def add_package(environment: Built) -> None:
    (site_packages(environment) / "intruder.py").write_text("")


def lose_record(environment: Built) -> None:
    (environment.folder / "ready.json").write_text('{"kind": "venv", "interp')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose_interpreter, "interpreter"),
        (lose_base, "/nowhere/bin/python3.11, is gone"),
        (change_base, "is now "),
        (lose_package, "greet is gone"),
        (add_package, "intruder.py was put into"),
        (lose_record, ""),
    ],
)
def test_damage_is_noticed_and_mended(
    wheels: Path, damage: Callable[[Built], None], words: str
) -> None:
    recipe = recipe_of(wheels, "greet==1.0")
    environment = built(recipe)
    damage(environment)
    assert cache.find(recipe) is None
    again = built(recipe)
    assert says(again, "import greet; print(greet.VERSION)") == "1.0"
    assert words in log_of(recipe)
    assert ("was damaged" in log_of(recipe)) == bool(words)
    assert cache.find(recipe) is not None


def test_compiled_modules_are_no_damage(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    environment = built(recipe)
    (site_packages(environment) / "__pycache__").mkdir()
    says(environment, "import greet")
    assert cache.find(recipe) is not None
    assert cache.check(recipe.key, deep=True) == []


def test_a_changed_file_is_found_by_the_thorough_look(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    module = site_packages(built(recipe)) / "greet" / "__init__.py"
    text = module.read_text()
    replace_file(module, text.lower())
    assert cache.check(recipe.key) == []
    assert cache.check(recipe.key, deep=True) == [
        "greet-2.0: greet/__init__.py has another content"
    ]
    replace_file(module, text * 2)
    [problem] = cache.check(recipe.key)
    assert problem.startswith("greet-2.0: greet/__init__.py has ")
    module.unlink()
    assert cache.check(recipe.key) == ["greet-2.0: greet/__init__.py is gone"]


def test_what_only_a_look_at_the_content_found_is_mended_by_the_next_build(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    module = site_packages(built(recipe)) / "greet" / "__init__.py"
    replace_file(module, module.read_text().lower())
    assert cache.find(recipe) is not None
    assert cache.check(recipe.key, deep=True)
    assert cache.check(recipe.key) == []
    assert cache.find(recipe) is None
    assert says(built(recipe), "import greet; print(greet.VERSION)") == "2.0"
    assert "has another content" in log_of(recipe)
    assert cache.check(recipe.key, deep=True) == []
    assert cache.find(recipe) is not None


def replace_file(path: Path, text: str) -> None:
    """Write another file: the old one is a link into uv's cache."""
    path.unlink()
    path.write_text(text)


def forget_look(recipe: Recipe) -> None:
    long_ago = time.time() - 2 * cache.TRUSTED_FOR
    os.utime(Shelf.of(recipe.key).folder / "checked", (long_ago, long_ago))


def test_after_a_day_an_environment_is_looked_over_before_it_is_used(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    environment = built(recipe)
    forget_look(recipe)
    assert cache.find(recipe) is None
    assert built(recipe).made == environment.made
    assert "looked over" in log_of(recipe)
    assert cache.find(recipe) is not None


def test_what_is_found_damaged_after_a_day_is_built_again(wheels: Path) -> None:
    recipe = recipe_of(wheels, "greet")
    module = site_packages(built(recipe)) / "greet" / "__init__.py"
    module.unlink()
    forget_look(recipe)
    assert says(built(recipe), "import greet; print(greet.VERSION)") == "2.0"
    assert "greet/__init__.py is gone" in log_of(recipe)


def test_what_was_written_into_is_fetched_anew(wheels: Path, tmp_path: Path) -> None:
    recipe = recipe_of(wheels, "greet==1.0", "words")
    given = variables(tmp_path, UV_LINK_MODE="hardlink")
    environment = built(recipe, variables=given)
    module = site_packages(environment) / "greet" / "__init__.py"
    with open(module, "a") as file:
        file.write("VERSION = 'mine'\n")
    forget_look(recipe)
    again = built(recipe, variables=given)
    assert says(again, "import greet; print(greet.VERSION)") == "1.0"
    assert "The download cache is damaged, too: greet-1.0." in log_of(recipe)
    assert cache.check(recipe.key, deep=True) == []


def test_environments_that_are_not_there_are_told_so() -> None:
    assert cache.check("0" * 20) == ["there is no such environment"]


# Why ----------------------------------------------------------------------------------------


def test_the_reason_for_a_build_is_what_changed_under_its_name(wheels: Path) -> None:
    end_of(begin(recipe_of(wheels, "greet==1.0"), name="mine"))
    state = end_of(begin(recipe_of(wheels, "greet==2.0", "words"), name="mine"))
    assert state.why == ("greet==1.0 → greet==2.0", "+ words")
    assert "greet==1.0 → greet==2.0" in log_of(recipe_of(wheels, "greet==2.0", "words"))


def test_changes_are_told_in_the_users_words() -> None:
    before = Recipe(
        VENV,
        python="3.10",
        pip=("a==1", "B_c", "gone"),
        channels=("x", "y"),
        dockerfile="FROM a\nRUN b\n",
        contents=(("/w.whl", "1"),),
    )
    after = Recipe(
        "conda",
        python="3.11",
        pip=("a==2", "b-c>=1"),
        channels=("y", "x"),
        dockerfile="FROM a\nRUN c\n",
        contents=(("/w.whl", "2"),),
    )
    assert why.changes(before, after) == [
        "venv → conda",
        "python 3.10 → 3.11",
        "a==1 → a==2",
        "B_c → b-c>=1",
        "- gone",
        "the channels are in another order",
        "the Dockerfile changed:",
        "  -RUN b",
        "  +RUN c",
        "/w.whl changed",
    ]
    assert why.changes(after, after) == []


# Indexes ------------------------------------------------------------------------------------


class Index:
    """A package index on this machine, with or without a password."""

    def __init__(self, wheels: Path, login: str = "") -> None:
        index = self
        self.asked: list[str] = []
        expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(wheels))

            def do_GET(self) -> None:
                index.asked.append(self.path)
                if expected and self.headers.get("Authorization") != expected:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="index"')
                    self.end_headers()
                elif self.path.startswith("/simple/"):
                    self.list(self.path.split("/")[2])
                else:
                    super().do_GET()

            def list(self, name: str) -> None:
                found = sorted(path.name for path in wheels.glob(f"{name}-*.whl"))
                page = "".join(f'<a href="/{name}">{name}</a>' for name in found).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def index(wheels: Path) -> Iterator[Index]:
    found = Index(wheels)
    yield found
    found.stop()


def variables(tmp_path: Path, **more: str) -> dict[str, str]:
    """The environment of a user with an empty download cache and no settings for packages."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    return {**ours, "HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "uv-cache"), **more}


def test_pips_settings_count_for_uv(index: Index, tmp_path: Path) -> None:
    recipe = Recipe(VENV, pip=("greet==1.0",))
    given = variables(tmp_path, PIP_INDEX_URL=index.url)
    assert built(recipe, variables=given).packages == ("greet==1.0",)
    assert "/simple/greet/" in index.asked


def test_pips_configuration_file_counts_for_uv(index: Index, tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n")
    recipe = Recipe(VENV, pip=("greet==1.0",))
    assert built(recipe, variables=variables(tmp_path)).packages == ("greet==1.0",)


def test_an_index_in_the_specification_counts_more(index: Index, tmp_path: Path) -> None:
    recipe = Recipe(VENV, pip=(f"--index-url {index.url}", "greet==1.0"))
    given = variables(tmp_path, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert built(recipe, variables=given).packages == ("greet==1.0",)


def test_without_a_network_what_was_downloaded_before_serves(wheels: Path, tmp_path: Path) -> None:
    index = Index(wheels)
    recipe = Recipe(VENV, pip=(f"--index-url {index.url}", "greet==1.0"))
    given = variables(tmp_path, UV_HTTP_RETRIES="0")
    try:
        built(recipe, variables=given)
    finally:
        index.stop()
    cache.remove(recipe.key)
    assert built(recipe, variables=given).packages == ("greet==1.0",)
    assert "trying what was downloaded before" in log_of(recipe)


def test_without_pytorchs_own_index_its_packages_come_from_the_others(
    index: Index, tmp_path: Path
) -> None:
    recipe = Recipe(VENV, pip=(f"--index-url {index.url}", TORCH_FOR_CPU, "greet"))
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    given = variables(tmp_path, **away, UV_HTTP_RETRIES="0")
    environment = built(recipe, variables=given)
    assert environment.packages == ("greet==2.0",)
    assert any("PyTorch's own index cannot be reached" in note for note in environment.notes)
    with_typo = replace(recipe, pip=(*recipe.pip, "no-such-thing"))
    assert "no-such-thing" in str(end_of(begin(with_typo, variables=given)).error)


def test_an_index_that_cannot_be_reached_is_said_to_be_so(tmp_path: Path) -> None:
    recipe = Recipe(VENV, pip=("--index-url http://127.0.0.1:9/simple", "greet"))
    state = end_of(begin(recipe, variables=variables(tmp_path, UV_HTTP_RETRIES="0")))
    assert state.error is not None
    assert "127.0.0.1:9" in state.error.message
    assert "HTTPS_PROXY" in state.error.hint


def test_certificates_of_a_company_are_trusted_where_they_are_named(
    wheels: Path, tmp_path: Path
) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    command += " -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    command += " -keyout key.pem -out ca.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    index = Index(wheels)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    index.server.socket = context.wrap_socket(index.server.socket, server_side=True)
    recipe = Recipe(VENV, pip=(f"--index-url {index.url.replace('http', 'https')}", "greet==1.0"))
    given = variables(tmp_path, UV_HTTP_RETRIES="0")
    try:
        refused = end_of(begin(recipe, variables=given))
        options = {"ca_certificates": str(tmp_path / "ca.pem")}
        environment = built(recipe, variables=given, options=options)
    finally:
        index.stop()
    assert "ca_certificates" in str(refused.error)
    assert environment.packages == ("greet==1.0",)


@pytest.mark.service("git")
def test_git_gets_the_passwords_of_repositories_too(tmp_path: Path) -> None:
    secrets = {"netrc": 'machine git.example login "me" password "p@ s"\n'}
    site = Site(tmp_path, tmp_path, {"HOME": str(tmp_path)}, {}, secrets, tmp_path, print)
    given = {**os.environ, **uv_settings.variables(site)}
    asked = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=git.example\n\n",
        capture_output=True,
        text=True,
        env=given,
        check=True,
    )
    assert "username=me\npassword=p@ s\n" in asked.stdout
    assert all("p@ s" not in text and "p%40" not in text for text in given.values())


def test_options_that_uv_takes_elsewhere_are_put_there() -> None:
    lines = ("--pre", "--trusted-host h", "--trusted-host=i", "-U", "--retries 3", "-f /x", "a")
    flags = ["--prerelease", "allow", *("--allow-insecure-host", "h")]
    assert split(lines) == ([*flags, "--allow-insecure-host", "i"], ["-f /x", "a"])


def test_one_hash_asks_for_the_hashes_of_all() -> None:
    hashed = f"a==1 --hash=sha256:{'0' * 64}"
    assert split((hashed, "b")) == (["--require-hashes"], [hashed, "b"])
    assert split(("--require-hashes", hashed)) == (["--require-hashes"], [hashed])


def test_a_package_without_a_version_does_not_pass_with_a_wrong_hash(wheels: Path) -> None:
    line = f"greet --hash=sha256:{'0' * 64}"
    state = end_of(begin(Recipe(VENV, pip=("--no-index", f"-f {wheels}", line))))
    assert state.phase == "failed"
    assert state.error is not None
    assert state.error.line == line


PASSWORD = 's3cret "q\\u0000te\\ %41'


def test_passwords_reach_the_index_and_no_file(wheels: Path, tmp_path: Path) -> None:
    index = Index(wheels, login=f"me:{PASSWORD}")
    recipe = Recipe(VENV, pip=(f"--index-url {index.url}", "greet==1.0"))
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    secrets = {"netrc": f'machine 127.0.0.1 login "me" password "{quoted}"\n'}
    try:
        given = variables(tmp_path)
        environment = built(recipe, variables=given, secrets=secrets)
        refused = Recipe(VENV, pip=(*recipe.pip, "words"))
        wrong = {"netrc": 'machine 127.0.0.1 login "me" password "wr0ng-one"\n'}
        state = end_of(begin(refused, variables=given, secrets=wrong))
    finally:
        index.stop()
    assert environment.packages == ("greet==1.0",)
    assert state.phase == "failed"
    for path in Path(os.environ["AML_HOME"]).rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert b"s3cret" not in content, path
            assert b"wr0ng-one" not in content, path
    assert "wr0ng-one" not in str(state)


@pytest.mark.service("pypi")
def test_packages_come_from_pypi() -> None:
    environment = built(Recipe(VENV, pip=("idna==3.7", "tqdm[notebook] ; python_version < '3'")))
    assert environment.packages == ("idna==3.7",)
    assert says(environment, "import idna; print(idna.__version__)") == "3.7"
    assert cache.check(environment.key, deep=True) == []


# Exact versions -----------------------------------------------------------------------------


def test_a_lock_holds_what_was_installed_and_repeats_it(wheels: Path, tmp_path: Path) -> None:
    recipe = recipe_of(wheels, "words", "greet<2")
    environment = built(recipe)
    path = lock.write(
        tmp_path, environment.packages, python=environment.python, kind=environment.kind
    )
    assert path.name == "environment.lock"
    text = path.read_text()
    assert text.endswith("greet==1.0\nwords==3.1\n")
    assert f"# python: {environment.python}\n" in text
    told = lock.read(tmp_path)
    assert told == lock.read(path)
    assert (told.packages, told.python, told.kind) == (
        environment.packages,
        environment.python,
        VENV,
    )
    again = lock.locked_recipe(recipe, told)
    assert again.pip == (
        "--no-deps",
        "--no-index",
        f"--find-links {wheels}",
        "greet==1.0",
        "words==3.1",
    )
    assert built(again).packages == environment.packages


def test_what_an_interpreter_has_is_read_from_the_disk(wheels: Path) -> None:
    environment = built(recipe_of(wheels, "greet"))
    assert lock.installed(environment.interpreter) == ("greet==2.0",)
    (site_packages(environment) / "words-3.1.dist-info").mkdir()
    assert lock.installed(environment.interpreter) == ("greet==2.0", "words==3.1")
    assert any(line.startswith("pytest==") for line in lock.installed(sys.executable))


def test_where_a_package_came_from_is_told_without_its_password(tmp_path: Path) -> None:
    records = {
        "one-1.0.dist-info": {"url": "https://me:pw@host/one.whl", "archive_info": {}},
        "two-1.0.dist-info": {
            "url": "https://tok@host/two.git",
            "vcs_info": {"vcs": "git", "commit_id": "abc"},
            "subdirectory": "below",
        },
        "zwei-1.0.dist-info": {
            "url": "ssh://git@host/zwei.git",
            "vcs_info": {"vcs": "git", "commit_id": "def"},
        },
    }
    for name, record in records.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "direct_url.json").write_text(json.dumps(record))
    (tmp_path / "Three_X-2.0-py3.11.egg-info").write_text("")
    (tmp_path / "~broken-1.0.dist-info").mkdir()
    assert lock.distributions(tmp_path) == [
        "three-x==2.0",
        "one @ https://host/one.whl",
        "two @ git+https://host/two.git@abc#subdirectory=below",
        "zwei @ git+ssh://git@host/zwei.git@def",
    ]
