"""Settings of the docker target, and options of ``docker run`` that become them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from aml_jupyter.backends.docker_arguments import (
    ARGUMENTS,
    gpus_in,
    parse_run_arguments,
    read_settings,
)
from aml_jupyter.backends.docker_options import SETTINGS, merged, read_options
from aml_jupyter.errors import RunConfigurationException

# Settings -----------------------------------------------------------------------------------


READ = {
    "host": ("ssh://me@there", "ssh://me@there"),
    "shm_size": ("2g", 2 << 30),
    "memory": (1 << 20, 1 << 20),
    "cpus": ("1.5", 1.5),
    "keep": ("yes", True),
    "local": (False, False),
    "mounts": (
        ["/data:/data:ro", {"source": "cache", "target": "/cache"}],
        [
            {"type": "bind", "source": "/data", "target": "/data", "read_only": True},
            {"type": "volume", "source": "cache", "target": "/cache", "read_only": False},
        ],
    ),
    "ulimits": ({"nofile": "1024:2048", "core": 0}, {"nofile": [1024, 2048], "core": [0, 0]}),
    "variables": (["A=b=c", "HTTP"], {"A": "b=c", "HTTP": None}),
    "build_args": ({"V": 1}, {"V": "1"}),
    "build_secrets": ("a=$TOKEN", {"a": "$TOKEN"}),
    "gpus": ("all", -1),
    "devices": (["/dev/null"], ["/dev/null:/dev/null:rw"]),
    "tmpfs": ("/scratch:size=1g", {"/scratch": "size=1g"}),
    "user": (1000, "1000"),
    "ports": ("127.0.0.1:8080:80", ["127.0.0.1:8080:80"]),
}


@pytest.mark.parametrize("name", READ)
def test_a_setting_is_read_from_what_people_write_and_again_from_what_was_read(name: str) -> None:
    written, read = READ[name]
    assert SETTINGS[name].read(written) == read
    assert SETTINGS[name].read(read) == read
    assert json.loads(json.dumps(read)) == read


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.example])
def test_the_example_of_a_setting_can_be_read(name: str) -> None:
    if name == "ca_certificates" and not os.path.exists(SETTINGS[name].example):
        pytest.skip("the example is Debian's file")
    SETTINGS[name].read(yaml.safe_load(SETTINGS[name].example))


NONSENSE = {
    "host": ["here", "ftp://x"],
    "shm_size": ["much", -1, 0],
    "cpus": ["two", 0, True],
    "slots": ["1.5", 0],
    "keep": ["perhaps"],
    "mounts": ["/data", "/data:data", "/data:/", "/data:/x:shared", {"source": "/a"}],
    "network": ["container:other", "a b"],
    "user": ["me", "1:2:3"],
    "ulimits": ["nofile", "nofile=x"],
    "variables": ["=x", {"A": ["b"]}],
    "labels": ["aml.run=x"],
    "ports": ["http", "1:2:3:4"],
    "pull": ["sometimes"],
    "build_secrets": [{"a": "correct-horse"}, {"a b": "$A"}, "a"],
    "gpus": ["device=0", "some"],
    "ca_certificates": ["/no/such/file"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in NONSENSE.items() for v in values]
)
def test_nonsense_is_refused_with_the_name_of_the_setting(name: str, value: object) -> None:
    with pytest.raises(RunConfigurationException) as caught:
        read_options({name: value})
    assert name in caught.value.message
    assert caught.value.hint


def test_a_runs_settings_are_added_to_those_of_its_target() -> None:
    target = read_options({"mounts": "/a:/a", "variables": {"A": "1", "B": "1"}, "memory": "1g"})
    run = read_options({"mounts": ["/a:/a", "/b:/b"], "variables": "B=2", "memory": "2g"})
    both = merged(target, run)
    assert [mount["source"] for mount in both["mounts"]] == ["/a", "/b"]  # type: ignore[attr-defined]
    assert both["variables"] == {"A": "1", "B": "2"}
    assert both["memory"] == 2 << 30
    assert target["memory"] == 1 << 30


# Options of docker run ----------------------------------------------------------------------


def test_options_of_docker_run_become_settings_however_they_are_split() -> None:
    together = ["--shm-size=2g", "-v=/a:/b:ro", "--network host --ipc=host", "-m4g", "-eA=b c"]
    apart = ["--shm-size", "2g", "--volume", "/a:/b:ro", "--net", "host", "--ipc", "host"]
    apart += ["--memory", "4g", "--env", "A=b c"]
    mount = {"type": "bind", "source": "/a", "target": "/b", "read_only": True}
    assert parse_run_arguments(together) == parse_run_arguments(apart)
    assert parse_run_arguments(apart) == {
        "shm_size": 2 << 30,
        "mounts": [mount],
        "network": "host",
        "ipc": "host",
        "memory": 4 << 30,
        "variables": {"A": "b c"},
    }


def test_an_option_that_may_be_repeated_adds_up() -> None:
    arguments = [
        "-v",
        "/a:/a",
        "--mount",
        "type=bind,src=/b,dst=/b,readonly",
        "-e",
        "A=1",
        "-e",
        "B",
    ]
    read = parse_run_arguments([*arguments, "--ulimit", "nofile=9", "--ulimit", "core=0"])
    assert [(m["source"], m["read_only"]) for m in read["mounts"]] == [  # type: ignore[attr-defined]
        ("/a", False),
        ("/b", True),
    ]
    assert read["variables"] == {"A": "1", "B": None}
    assert read["ulimits"] == {"nofile": [9, 9], "core": [0, 0]}


def test_variables_come_from_a_file_as_for_docker_run(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# mine\nA=1\n\nB=x y\n")
    read = parse_run_arguments(["--env-file", str(tmp_path / "env")])
    assert read == {"variables": {"A": "1", "B": "x y"}}


def test_what_every_run_has_or_nobody_can_see_means_nothing() -> None:
    assert parse_run_arguments(["--rm", "-it", "--init", "-d", "--privileged=false"]) == {}


OPENS_THE_HOST = [
    ["--privileged"],
    ["--cap-add=SYS_ADMIN"],
    ["--security-opt", "seccomp=unconfined"],
    ["--pid=host"],
    ["--userns", "host"],
    ["--volumes-from=other"],
    ["-v", "/var/run/docker.sock:/var/run/docker.sock"],
    ["-v", "/var/run:/x:ro"],
    ["-v", "/:/host:ro"],
    ["--mount", "type=bind,source=/proc,target=/x"],
    ["--network=container:other"],
    ["--device=/dev/mem"],
    ["--device", "/etc/passwd"],
]


@pytest.mark.parametrize("arguments", OPENS_THE_HOST, ids=" ".join)
def test_what_would_open_the_host_is_refused(arguments: list[str]) -> None:
    with pytest.raises(RunConfigurationException) as caught:
        parse_run_arguments(arguments)
    why = ("open the host", "write bridge", "write /dev/name")
    assert any(words in caught.value.message for words in why)


@pytest.mark.parametrize(
    "argument", ["--workdir=/x", "--entrypoint=sh", "--nonsense", "train.py", "--shm-size"]
)
def test_an_option_that_a_run_cannot_have_is_refused_with_those_it_can(argument: str) -> None:
    with pytest.raises(RunConfigurationException) as caught:
        parse_run_arguments([argument])
    assert argument in caught.value.message
    assert caught.value.hint


def test_arguments_among_the_settings_come_after_all_others() -> None:
    written = {"memory": "1g", "mounts": "/a:/a", "arguments": ["-m=2g", "-v", "/b:/b"]}
    read = read_settings(written)
    assert read["memory"] == 2 << 30
    assert [mount["source"] for mount in read["mounts"]] == ["/a", "/b"]  # type: ignore[attr-defined]
    assert ARGUMENTS.read("--shm-size 2g -v '/a b:/c'") == ["--shm-size", "2g", "-v", "/a b:/c"]
    with pytest.raises(ValueError, match="--privileged"):
        ARGUMENTS.read(["--privileged"])


@pytest.mark.parametrize(
    ("written", "asked"),
    [({}, None), ({"gpus": 2}, 2), ({"arguments": ["--gpus=all"]}, -1), ({"gpus": 0}, 0)],
    ids=str,
)
def test_gpus_may_be_asked_for_by_a_setting_or_an_argument(
    written: dict[str, object], asked: int | None
) -> None:
    assert gpus_in(written) == asked
