"""Container engines: where one is found, and how its failures are told."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import shutil
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from aml_jupyter.engine import (
    Address,
    Conflict,
    EngineAway,
    EngineError,
    ImageMissing,
    NotThere,
    Tls,
    connect,
    find_address,
    find_build_command,
    forget,
    translated,
)
from aml_jupyter.engine.transport import command
from aml_jupyter.errors import AmlError
from tests.services import docker_engine as docker_service
from tests.services import sshd


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The variables of a user with a home and a runtime folder, and no engine."""
    (tmp_path / "home").mkdir()
    (tmp_path / "runtime").mkdir()
    return {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}


def write_context(user: dict[str, str], name: str, host: str, *, tls: tuple[str, ...] = ()) -> None:
    folder = Path(user["HOME"], ".docker", "contexts")
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "meta" / identity / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"docker": {"Host": host, "SkipTLSVerify": False}}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoint}))
    for file in tls:
        path = folder / "tls" / identity / "docker" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@contextlib.contextmanager
def listening(path: Path) -> Iterator[None]:
    """A socket at that path, with nobody who answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        yield


# Where an engine is -------------------------------------------------------------------------


def test_the_targets_setting_comes_before_all_else(user: dict[str, str]) -> None:
    write_context(user, "far", "ssh://me@far")
    variables = {**user, "DOCKER_HOST": "unix:///elsewhere.sock", "DOCKER_CONTEXT": "far"}
    found = find_address({"host": "tcp://gpu:2375", "context": "far"}, variables)
    assert (found.url, found.is_local) == ("tcp://gpu:2375", False)
    assert find_address({"context": "far"}, variables).url == "ssh://me@far"
    assert find_address({}, variables).url == "unix:///elsewhere.sock"
    del variables["DOCKER_HOST"]
    assert find_address({}, variables).url == "ssh://me@far"


def test_the_current_context_is_taken_with_its_certificates(user: dict[str, str]) -> None:
    write_context(user, "lab", "tcp://lab:2376", tls=("ca.pem", "cert.pem", "key.pem"))
    Path(user["HOME"], ".docker", "config.json").write_text('{"currentContext": "lab"}')
    found = find_address({}, user)
    assert found.url == "tcp://lab:2376"
    assert found.tls is not None
    assert found.tls.verify
    assert Path(found.tls.key or "").name == "key.pem"
    assert "lab" in found.found_by


def test_a_context_that_is_not_there_is_named(user: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="no Docker context 'gone'") as caught:
        find_address({}, {**user, "DOCKER_CONTEXT": "gone"})
    assert "docker context ls" in caught.value.hint


def test_a_damaged_configuration_is_as_good_as_none(user: dict[str, str]) -> None:
    config = Path(user["HOME"], ".docker", "config.json")
    config.parent.mkdir()
    config.write_text('{"currentContext": ')
    assert find_address({}, user).socket


@pytest.mark.skipif(os.path.exists("/var/run/docker.sock"), reason="an engine of the machine's")
def test_without_settings_the_first_socket_that_is_there_is_taken(user: dict[str, str]) -> None:
    runtime = Path(user["XDG_RUNTIME_DIR"])
    with listening(runtime / "podman" / "podman.sock"):
        assert find_address({}, user).socket == f"{runtime}/podman/podman.sock"
        with listening(runtime / "docker.sock"):
            assert find_address({}, user).socket == f"{runtime}/docker.sock"


@pytest.mark.parametrize("address", ["docker.sock", "ftp://host", "tcp://", ""])
def test_an_address_that_is_none_is_refused(user: dict[str, str], address: str) -> None:
    variables = {**user, "DOCKER_HOST": address or "://"}
    with pytest.raises(EngineError, match="no address of a container engine"):
        find_address({}, variables)


def test_only_a_unix_socket_is_local_until_a_setting_says_otherwise(user: dict[str, str]) -> None:
    assert find_address({"host": "unix:///e.sock"}, user).is_local
    assert not find_address({"host": "unix:///e.sock", "local": False}, user).is_local
    assert not find_address({"host": "tcp://127.0.0.1:1"}, user).is_local
    assert find_address({"host": "tcp://127.0.0.1:1", "local": True}, user).is_local


def test_the_docker_command_is_led_to_the_same_engine(user: dict[str, str]) -> None:
    certificates = Path(user["HOME"], "certificates")
    certificates.mkdir()
    (certificates / "ca.pem").write_text("")
    variables = {**user, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    found = find_address({"host": "tcp://gpu:2376"}, variables)
    assert find_address({}, {**user, **found.variables()}).tls == found.tls
    assert find_address({}, {**user, **found.variables()}).url == found.url


# What goes wrong ----------------------------------------------------------------------------


def every_error_of_docker() -> list[type[Exception]]:
    from docker import errors

    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in kinds if kind.__module__ == "docker.errors"]


def raised(kind: type[Exception], status: int = 500, said: str = "no") -> Exception:
    """An error as docker-py raises it."""
    from docker.errors import APIError, BuildError, ContainerError

    if issubclass(kind, APIError):
        response = requests.Response()
        response.status_code = status
        return kind("refused", response, said)
    if kind is ContainerError:
        return kind("box", 3, "train", "image", b"oops")
    if kind is BuildError:
        return kind("step failed", iter(()))
    return kind("something")


@pytest.mark.parametrize("kind", every_error_of_docker())
def test_every_error_of_docker_becomes_ours(kind: type[Exception]) -> None:
    error = raised(kind)
    with pytest.raises(EngineError) as caught, translated("The job did not start"):
        raise error
    assert isinstance(caught.value, AmlError)
    assert caught.value.message.startswith("The job did not start: ")
    assert not isinstance(caught.value, EngineAway)
    assert caught.value.__cause__ is error


def test_what_the_engine_says_decides_which_error_it_is() -> None:
    from docker.errors import APIError, ImageNotFound, NotFound

    for error, kind in (
        (raised(ImageNotFound, 404, "No such image: x"), ImageMissing),
        (raised(NotFound, 404, "No such container: x"), NotThere),
        (raised(APIError, 409, "name is already in use"), Conflict),
    ):
        with pytest.raises(kind) as caught, translated("It failed"):
            raise error
        assert str(error.explanation) in caught.value.message  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("write /x: no space left on device", "aml env prune"),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "nvidia-ctk"),
        ("dial tcp: lookup registry-1.docker.io: no such host", "base_image"),
        ("unauthorized: authentication required", "docker login"),
        ("x509: certificate signed by unknown authority", "certs.d"),
        ("exec format error", "processor"),
        ("pull access denied for pyhton, repository does not exist or may require", "the name"),
        ("pull access denied for pyhton, repository does not exist or may require", "docker login"),
        ('invalid mount config for type "bind": bind source path does not exist: /x', "local"),
    ],
)
def test_known_words_of_an_engine_come_with_what_to_do(said: str, hint: str) -> None:
    from docker.errors import APIError

    with pytest.raises(EngineError) as caught, translated("It failed"):
        raise raised(APIError, 500, said)
    assert hint in caught.value.hint


def test_an_engine_that_is_not_there_is_told_from_one_that_does_not_run(tmp_path: Path) -> None:
    missing = Address(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineAway, match="is not there") as caught:
        connect(missing)
    assert "DOCKER_HOST" in caught.value.hint
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "docker.sock"))
    with pytest.raises(EngineAway, match="Connection refused") as caught:
        connect(missing)
    assert "Start it" in caught.value.hint


def test_an_engine_by_ssh_needs_the_program_ssh_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineAway, match="program ssh") as caught:
        connect(Address("ssh://me@box", False))
    assert "openssh-client" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ssh://me@GPU-Box", "GPU-Box"),
        ("ssh://GPU-Box:22/run/docker.sock", "GPU-Box"),
        ("ssh://me@[FE80::1]:22", "FE80::1"),
    ],
)
def test_a_host_by_ssh_is_called_as_it_was_written(url: str, host: str) -> None:
    words = command(url)
    assert words[words.index("--") + 1] == host


def test_a_socket_that_is_not_for_this_user_is_told_as_such() -> None:
    broken = requests.ConnectionError(ConnectionError("aborted", PermissionError(13, "denied")))
    with pytest.raises(EngineAway, match="may not use") as caught, translated("No connection"):
        raise broken
    assert "usermod" in caught.value.hint


def test_our_own_mistakes_are_not_blamed_on_the_engine() -> None:
    with pytest.raises(FileNotFoundError), translated("It failed"):
        Path("/no/such/file").read_text()


# A real engine ------------------------------------------------------------------------------


@pytest.fixture
def address(docker_engine: docker_service.Engine) -> Address:
    return find_address({"host": docker_engine.host}, {})


@pytest.mark.service("docker")
def test_an_engine_is_connected_to_once_and_tells_of_itself(address: Address) -> None:
    engine = connect(address)
    assert connect(address) is engine
    assert engine.is_alive()
    assert engine.architecture in ("amd64", "arm64")
    assert engine.version[0].isdigit()
    assert not engine.is_podman
    assert engine.is_local
    assert engine.api_version >= (1, 24)


@pytest.mark.service("docker")
def test_an_engine_that_is_silent_keeps_nobody_from_another(address: Address) -> None:
    forget(address)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = Address(f"tcp://127.0.0.1:{silent.getsockname()[1]}", False)

        def ask() -> None:
            with pytest.raises(EngineAway):
                connect(away)

        asking = threading.Thread(target=ask)
        asking.start()
        with silent.accept()[0]:
            began = time.monotonic()
            connect(address)
            assert time.monotonic() - began < 5
    asking.join()


def test_an_image_that_is_not_there_is_missing(address: Address) -> None:
    engine = connect(address)
    with pytest.raises(ImageMissing, match="nowhere"), engine.errors("The job cannot start"):
        engine.client.images.get("nowhere:1")


@pytest.mark.service("docker")
def test_proxies_and_certificates_of_the_network_are_not_for_the_engine(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with relay(address.socket or "", over_tcp=True) as (url, _):
        assert connect(Address(url, is_local=False)).is_alive()
        forget(Address(url, is_local=False))


@pytest.mark.service("docker")
def test_a_question_whose_connection_broke_is_asked_again(address: Address) -> None:
    with relay(address.socket or "") as (url, relayed):
        engine = connect(Address(url))
        before = relayed.connections
        relayed.breaks_next = True
        assert engine.client.info()
        assert relayed.connections == before + 2
        forget(Address(url))


@pytest.mark.service("docker")
def test_an_order_whose_connection_broke_is_not_given_twice(
    address: Address, base_image: str
) -> None:
    with relay(address.socket or "") as (url, relayed):
        engine = connect(Address(url))
        relayed.breaks_next = True
        before = relayed.connections
        with pytest.raises(EngineAway), engine.errors("The container could not be made"):
            engine.client.api.create_container(base_image)
        assert relayed.connections == before + 1
        forget(Address(url))


@pytest.mark.service("docker")
@pytest.mark.service("sshd")
def test_an_engine_is_reached_by_the_systems_ssh(
    docker_engine: docker_service.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd.server(tmp_path / "sshd") as server:
        monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
        path = docker_engine.host.removeprefix("unix://")
        address = Address(f"ssh://{server.user}@127.0.0.1:{server.port}{path}", is_local=False)
        engine = connect(address)
        assert engine.client.info()["ID"]
        forget(address)


@pytest.mark.service("sshd")
def test_why_ssh_failed_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd.server(tmp_path / "sshd") as server:
        monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
        server.key.unlink()
        with pytest.raises(EngineAway, match="Permission denied") as caught:
            connect(Address(f"ssh://{server.user}@127.0.0.1:{server.port}", is_local=False))
    assert "ssh HOST docker version" in caught.value.hint


@pytest.mark.service("docker")
def test_a_docker_command_without_buildkit_is_passed_over(address: Address, tmp_path: Path) -> None:
    first = tmp_path / "docker"
    first.write_text("#!/bin/sh\necho 'podman version 4.3.1'\n")
    first.chmod(0o755)
    engine = connect(address)
    assert find_build_command(engine, {"PATH": str(tmp_path)}) is None
    found = find_build_command(engine, {"PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/bin"})
    assert found is not None, f"no BuildKit here: {shutil.which('docker')}"
    assert found.words[0] != str(first)
    assert found.variables["DOCKER_HOST"] == address.url


class Relayed:
    """What a relay has seen, and what it shall do."""

    def __init__(self) -> None:
        self.connections = 0
        self.breaks_next = False


@contextlib.contextmanager
def relay(target: str, *, over_tcp: bool = False) -> Iterator[tuple[str, Relayed]]:
    """An address before the socket ``target`` that can lose a connection after a question."""
    seen = Relayed()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.connections += 1
            question = self.request.recv(1 << 16)
            if seen.breaks_next:
                seen.breaks_next = False
                return
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(target)
                # One question on each connection, so that the engine's end is the answer's.
                engine.sendall(question.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                while answer := engine.recv(1 << 16):
                    self.request.sendall(answer)

    folder = Path("/tmp") / f"aml-relay-{os.getpid()}-{os.urandom(3).hex()}"
    kind: Callable[..., Any] = socketserver.ThreadingTCPServer
    place: Any = ("127.0.0.1", 0)
    if not over_tcp:
        kind, place = socketserver.ThreadingUnixStreamServer, str(folder)
    with kind(place, Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"tcp://127.0.0.1:{server.server_address[1]}" if over_tcp else f"unix://{folder}"
            yield url, seen
        finally:
            server.shutdown()
            thread.join()
    if not over_tcp:
        folder.unlink()


def test_an_address_compares_by_what_it_says() -> None:
    tls = Tls("/ca.pem", None, None)
    assert Address("tcp://a:1", False, tls) == Address("tcp://a:1", False, Tls("/ca.pem"))
    assert Address("tcp://a:1", False, tls) != Address("tcp://a:1", False)
