"""Conda environments: real solves from channels made on the spot, real links, real processes."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import os
import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as a_field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aml_jupyter.environments import Build, BuildError, Recipe
from aml_jupyter.environments.conda import make, pythons
from aml_jupyter.environments.conda_names import NotOnPyPI, on_pypi
from aml_jupyter.environments.conda_settings import CondaSettings
from aml_jupyter.environments.conda_tools import NoChannel, at_fault, find_tool
from aml_jupyter.environments.damage import thorough_problems
from aml_jupyter.environments.lock import Lock, locked_recipe
from aml_jupyter.environments.making import Made, Site
from aml_jupyter.environments.recipe import CONDA

from .services import conda_channel, conda_command
from .support import until

NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""


@dataclass
class Workshop:
    """A place to build in, with two channels; ``near`` is the more important one."""

    folder: Path
    near: str
    far: str
    variables: dict[str, str]
    steps: list[tuple[int, int, str]] = a_field(default_factory=list)

    @property
    def prefix(self) -> Path:
        return self.folder / "env"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def site(
        self,
        variables: dict[str, str] | None = None,
        secrets: dict[str, object] | None = None,
        **options: object,
    ) -> Site:
        (self.folder / "scratch").mkdir(exist_ok=True)
        return Site(
            target=self.prefix,
            scratch=self.folder / "scratch",
            variables={**self.variables, **(variables or {})},
            options=options,
            secrets=secrets or {},
            log=self.folder / "log",
            on_progress=lambda done, total, text: self.steps.append((done, total, text)),
        )

    def holds(self, word: str) -> bool:
        """Whether the word is in any file that a build leaves behind."""
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        return subprocess.run(["grep", "-rlF", word, self.folder], check=False).returncode == 0

    def make(self, *specs: str, site: Site | None = None, **recipe: Any) -> Made:
        recipe.setdefault("channels", (self.near, self.far))
        return make(Recipe(CONDA, conda=specs, **recipe), site or self.site())

    def run(self, *words: str) -> str:
        command = [str(self.prefix / "bin" / words[0]), *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channels")
    conda_channel.write(folder / "near", conda_channel.near())
    conda_channel.write(folder / "far", conda_channel.far())
    return folder


@pytest.fixture
def shop(tmp_path: Path, channels: Path) -> Workshop:
    kept = ("PATH", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR")
    variables = {name: os.environ[name] for name in kept if name in os.environ}
    # A home without settings; uv's cache stays where it is.
    variables |= {"HOME": str(tmp_path), "RATTLER_CACHE_DIR": str(tmp_path / "cache")}
    variables.setdefault("UV_CACHE_DIR", os.path.expanduser("~/.cache/uv"))
    near, far = ((channels / name).as_uri() for name in ("near", "far"))
    return Workshop(tmp_path, near, far, variables)


# Solving and linking ------------------------------------------------------------------------


def test_packages_of_a_channel_are_solved_linked_and_run(shop: Workshop) -> None:
    made = shop.make("greet=1")
    assert made.packages == (
        "conda:greet==1.0=0",
        f"conda:python=={conda_channel.PYTHON}=0",
        "conda:words==1.0=0",
    )
    assert made.python == conda_channel.PYTHON
    assert shop.run("greet") == "Hello from 1.0"
    assert shop.run("python", "-c", "import sys; print(sys.prefix)") == str(shop.prefix)
    assert made.interpreter == str(shop.prefix / "bin" / "python")
    assert thorough_problems(shop.prefix, deep=True) == []


def test_a_package_for_this_platform_finds_its_prefix_and_takes_its_last_step(
    shop: Workshop,
) -> None:
    made = shop.make("tool")
    assert shop.run("tool") == str(shop.prefix)
    assert (shop.prefix / "share/tool/linked").read_text() == "linked\n"
    assert made.facts["activation"] == {
        "CONDA_PREFIX": str(shop.prefix),
        "TOOL_DATA": f"{shop.prefix}/share/tool",
    }


def test_the_first_channel_that_has_a_package_is_the_only_one_for_it(shop: Workshop) -> None:
    assert "conda:greet==2.0=0" in shop.make("greet", "farewell").packages
    shutil.rmtree(shop.prefix)
    turned = shop.make("greet", channels=(shop.far, shop.near))
    assert "conda:greet==3.0=0" in turned.packages


def test_pip_packages_come_on_top_and_conda_s_are_not_told_twice(shop: Workshop) -> None:
    wheel = shop.folder / "smile-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("smile.py", "import words\nprint(':-)', words.HELLO)\n")
        about = "smile-1.0.dist-info"
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: smile\nVersion: 1.0\nRequires-Dist: words<2\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    found = ("--no-index", f"--find-links {shop.folder}")
    made = shop.make("words=1", pip=(*found, "smile"))
    assert shop.run("python", "-m", "smile") == ":-) Hello"
    assert [line for line in made.packages if "conda:" not in line] == ["smile==1.0"]

    with pytest.raises(BuildError) as failure:
        shop.make("words=2", pip=(*found, "smile", "no-such-thing"))
    assert failure.value.line == "no-such-thing"


def test_the_steps_are_told_as_they_happen(shop: Workshop) -> None:
    shop.make("greet")
    linked = [step for step in shop.steps if step[2].startswith("Linking")]
    assert [(done, total) for done, total, _ in linked] == [(1, 3), (2, 3), (3, 3)]
    assert shop.steps[0][2].startswith("Solving for python, greet")


def test_an_environment_is_repeated_from_its_exact_versions(shop: Workshop) -> None:
    first = shop.make("greet=1")
    exact = locked_recipe(Recipe(CONDA, conda=("greet",)), Lock(first.packages, first.python))
    shutil.rmtree(shop.prefix)
    again = shop.make(*exact.conda, python=exact.python, pip=exact.pip)
    assert again.packages == first.packages


# Which Python -------------------------------------------------------------------------------


def test_v1_s_ancient_python_becomes_the_nearest_that_a_channel_has(shop: Workshop) -> None:
    made = shop.make("greet", python="3.8.13")
    assert made.python == conda_channel.PYTHON
    note = f"No channel has python=3.8.13; python={conda_channel.MINOR} was taken instead."
    assert made.facts["notes"] == [note]
    assert note in shop.log


def test_a_range_of_pythons_is_respected(shop: Workshop) -> None:
    assert shop.make("greet", python=">=3.8,<4").python == conda_channel.PYTHON
    with pytest.raises(BuildError, match="No candidates were found for python") as failure:
        shop.make("greet", python=">=3.8,<3.9")
    assert failure.value.line == "python >=3.8,<3.9"


def test_pythons_are_tried_from_the_one_asked_for_upwards() -> None:
    assert list(pythons("3.12.4"))[:3] == ["python=3.12.4", "python=3.12", "python=3.13"]
    assert list(pythons("2.7"))[:2] == ["python=2.7", "python=3.6"]
    assert list(pythons(None)) == ["python"]
    assert list(pythons("3.11.*")) == ["python=3.11", *(f"python=3.{n}" for n in (12, 13, 14))]


# What cannot be -----------------------------------------------------------------------------


def test_packages_that_cannot_go_together_are_refused_in_the_solver_s_words(
    shop: Workshop,
) -> None:
    with pytest.raises(BuildError) as failure:
        shop.make("loud", "greet=2")
    assert failure.value.line in ("loud", "greet=2")
    assert "which conflicts with the versions reported above" in failure.value.message
    assert "words >=2" in failure.value.said


@pytest.mark.parametrize(
    ("specs", "line", "message"),
    [
        (["greet", "no-such-thing>=1"], "no-such-thing>=1", "No candidates were found"),
        (["greet=9"], "greet=9", "No candidates were found for greet 9"),
        (["greet", "=="], "==", "'==' is not a package as conda writes it"),
    ],
)
def test_the_line_at_fault_is_named(
    shop: Workshop, specs: list[str], line: str, message: str
) -> None:
    with pytest.raises(BuildError, match=message) as failure:
        shop.make(*specs)
    assert failure.value.line == line


def test_a_channel_that_does_not_exist_is_named_as_it_was_written(shop: Workshop) -> None:
    gone = str(shop.folder / "gone")
    with pytest.raises(BuildError, match=f"There is no conda channel {gone}") as failure:
        shop.make("greet", channels=(shop.near, gone))
    assert failure.value.line == gone


def test_one_channel_out_of_reach_among_others_is_named(shop: Workshop) -> None:
    away = f"{NOBODY}/team"
    with pytest.raises(BuildError, match=f"{away} cannot be reached: 127.0.0.1: Conn") as failure:
        shop.make("greet", channels=(shop.near, away))
    assert failure.value.line == away
    assert not isinstance(failure.value, NoChannel)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("└─ greet 9** does not exist (perhaps a typo or a missing channel).", "greet=9"),
        ("  - nothing provides requested greet 9", "greet=9"),
        ("PackagesNotFoundError: The following…\n\n  - greet=9\n\nCurrent channels:", "greet=9"),
        ("  - package loud-1.0 requires words <2, but none of the providers can be…", "loud"),
        ("├─ greet-more 1** does not exist", ""),
        ("everything is fine with greet", ""),
    ],
)
def test_words_of_other_solvers_lead_to_the_line(said: str, line: str) -> None:
    assert at_fault(["python=3.11", "greet=9", "loud"], said) == line


def test_a_full_disk_is_said_to_be_one(shop: Workshop) -> None:
    script = shop.folder / "bin" / "micromamba"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] || { echo "write: No space left on device"; exit 1; }\n'
    )
    script.chmod(0o755)
    with pytest.raises(BuildError, match="The disk is full") as failure:
        shop.make("greet", site=shop.site({"MAMBA_EXE": str(script)}))
    assert "aml env prune" in failure.value.hint


# Channels far away --------------------------------------------------------------------------


class _Server(http.server.ThreadingHTTPServer):
    """Channels by HTTP, also as a proxy for any host; ``login`` or ``token`` is asked for."""

    login: str | None = None
    token: str | None = None


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        login = self.server.login  # type: ignore[attr-defined]
        wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        if wanted and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.path = urlsplit(self.path).path
        token = self.server.token  # type: ignore[attr-defined]
        if token and not self.path.startswith(f"/t/{token}/"):
            self.send_error(404)
            return
        self.path = self.path.removeprefix(f"/t/{token}")
        super().do_GET()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(
    folder: Path,
    certificate: Path | None = None,
    login: str | None = None,
    token: str | None = None,
) -> Iterator[str]:
    """The address at which ``folder`` is served, for as long as the block lasts."""
    server = _Server(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    server.login, server.token = login, token
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        scheme = "https" if certificate else "http"
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company's own certificate for 127.0.0.1, with its key, in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    path = folder / "both.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=company", "-addext", "subjectAltName=IP:127.0.0.1"]
    names += ["-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*new, *names, *files], check=True, capture_output=True)
    texts = [(folder / name).read_text() for name in ("key.pem", "certificate.pem")]
    path.write_text("".join(texts))
    return path


def test_a_channel_behind_a_company_s_certificate_and_password_is_used(
    shop: Workshop, channels: Path, certificate: Path
) -> None:
    with served(channels, certificate, login="me:secret-word") as address:
        channel = f"{address}/near"
        with pytest.raises(NoChannel, match="certificate"):
            shop.make("greet", channels=(channel,))
        trust = {"ca_certificates": str(certificate.with_name("certificate.pem"))}
        with pytest.raises(BuildError, match="wants a user and a password") as failure:
            shop.make("greet", channels=(channel,), site=shop.site(**trust))
        assert failure.value.line == channel
        secrets = {"netrc": "machine 127.0.0.1\nlogin me\npassword secret-word\n"}
        shop.make("greet", channels=(channel,), site=shop.site(secrets=secrets, **trust))
    assert shop.run("greet") == "Good morning from 2.0"
    assert "secret-word" not in shop.log
    assert not shop.holds("secret-word")


def test_a_channel_s_token_is_used_and_kept_nowhere(shop: Workshop, channels: Path) -> None:
    conda_command.install(shop.folder / "bin")
    bin_first = {"PATH": f"{shop.folder}/bin:{shop.variables['PATH']}"}
    with served(channels, token="secret-word") as address:
        channel = f"{address}/near"
        wrong = shop.site(bin_first, {"channels": {channel: f"{address}/t/old-word/near"}})
        with pytest.raises(BuildError) as failure:
            shop.make("greet", channels=(channel,), site=wrong)
        assert "old-word" not in f"{failure.value} {failure.value.said}"
        right = shop.site(bin_first, {"channels": {channel: f"{address}/t/secret-word/near"}})
        made = shop.make("greet", channels=(channel,), site=right)
    assert made.facts["tool"] == "py-rattler"
    assert not shop.holds("secret-word")
    assert not shop.holds("old-word")


def test_a_channel_is_reached_through_a_proxy(shop: Workshop, channels: Path) -> None:
    with served(channels) as address:
        variables = {"http_proxy": address, "HTTP_PROXY": address, "NO_PROXY": ""}
        made = shop.make(
            "greet", channels=("http://conda.invalid/near",), site=shop.site(variables)
        )
    assert "conda:greet==2.0=0" in made.packages


def test_without_a_network_a_warm_cache_is_enough(shop: Workshop, channels: Path) -> None:
    with served(channels) as address:
        first = shop.make("greet", channels=(f"{address}/near",))
    shutil.rmtree(shop.prefix)
    again = shop.make("greet", channels=(f"{address}/near",))
    assert again.packages == first.packages
    assert f"{address}/near cannot be reached" in shop.log
    assert shop.run("greet") == "Good morning from 2.0"


# Settings -----------------------------------------------------------------------------------


def test_channels_are_found_as_condarc_says(shop: Workshop, channels: Path) -> None:
    (shop.folder / ".condarc").write_text(
        f"channel_alias: {channels.as_uri()}\n"
        "channels: [near]\n"
        "default_channels: [https://mirror.example/main]\n"
        "custom_channels: {team: https://team.example/conda}\n"
        "custom_multichannels: {all: [near, team]}\n"
        "proxy_servers: {https: 'http://proxy.example:8080'}\n"
        "ssl_verify: false\n"
    )
    settings = CondaSettings.read(shop.variables)
    assert settings.urls(["near"]) == (shop.near,)
    assert settings.urls([]) == (shop.near,)
    assert settings.urls(["defaults", "nodefaults"]) == ("https://mirror.example/main",)
    assert settings.urls(["team/label/dev"]) == ("https://team.example/conda/team/label/dev",)
    assert settings.urls(["all"]) == (shop.near, "https://team.example/conda/team")
    assert settings.urls([str(channels / "far")]) == (shop.far,)
    assert settings.variables()["HTTPS_PROXY"] == "http://proxy.example:8080"
    assert settings.verify is False
    assert "conda:greet==2.0=0" in shop.make("greet", channels=()).packages


def test_variables_win_over_condarc_and_damage_in_it_is_no_obstacle(shop: Workshop) -> None:
    (shop.folder / ".condarc").write_text("channel_alias: [unclosed")
    assert CondaSettings.read(shop.variables).urls(["x"]) == ("https://conda.anaconda.org/x",)
    (shop.folder / ".condarc").write_text("channel_alias: https://old.example\nssl_verify: true\n")
    told = {"CONDA_CHANNEL_ALIAS": "https://new.example/", "CONDA_OFFLINE": "true"}
    settings = CondaSettings.read({**shop.variables, **told, "CONDA_SSL_VERIFY": "False"})
    assert settings.urls(["x"]) == ("https://new.example/x",)
    assert (settings.offline, settings.verify) == (True, False)


# A conda that is here -----------------------------------------------------------------------


def test_micromamba_is_used_where_it_is_found(shop: Workshop) -> None:
    tool = conda_command.install(shop.folder / "bin")
    site = shop.site({"PATH": f"{tool.parent}:{shop.variables['PATH']}"})
    made = shop.make("greet=1", site=site)
    assert made.facts["tool"] == "micromamba"
    assert shop.run("greet") == "Hello from 1.0"
    calls = (shop.folder / "bin" / "micromamba.calls").read_text().splitlines()
    assert calls[1] == (
        f"create --yes --prefix {shop.prefix} --strict-channel-priority --override-channels "
        f"--channel {shop.near} --channel {shop.far} python greet=1"
    )
    with pytest.raises(BuildError, match="does not exist") as failure:
        shop.make("greet", "no-such-thing", site=site)
    assert failure.value.line == "no-such-thing"
    assert shop.make("greet", python="3.8.13", site=site).python == conda_channel.PYTHON


def test_micromamba_out_of_reach_of_its_channels_takes_what_it_has_then_says_so(
    shop: Workshop, channels: Path
) -> None:
    tool = conda_command.install(shop.folder / "bin")
    site = shop.site({"MAMBA_EXE": str(tool)}, conda_from_pypi=False)
    with served(channels) as address:
        first = shop.make("greet", channels=(f"{address}/near",), site=site)
    again = shop.make("greet", channels=(f"{address}/near",), site=site)
    assert again.packages == first.packages
    assert "trying with what was fetched before" in shop.log
    with pytest.raises(NoChannel, match="Couldn't connect to server"):
        shop.make("greet", channels=(f"{NOBODY}/x",), site=site)


def test_the_first_conda_that_starts_is_taken_and_an_option_names_another(
    shop: Workshop,
) -> None:
    folder = shop.folder / "bin"
    broken = conda_command.install(folder, "micromamba")
    broken.write_text("#!/bin/sh\nexit 1\n")
    mamba = conda_command.install(folder, "mamba")
    conda = conda_command.install(folder / "elsewhere", "conda")
    variables = {"PATH": f"{folder}:/usr/bin:/bin", "CONDA_EXE": str(conda)}
    assert find_tool(variables, {}) == str(mamba)
    for named, found in (("conda", conda), (str(conda), conda), ("py-rattler", "py-rattler")):
        assert find_tool(variables, {"conda_tool": named}) == str(found)
    assert find_tool({"PATH": "/nowhere"}, {}) == "py-rattler"
    with pytest.raises(BuildError, match="'micromamba', which does not start"):
        find_tool(variables, {"conda_tool": "micromamba"})


# From PyPI ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("scikit-learn", "scikit-learn"),
        ("scikit-learn=1.2", "scikit-learn==1.2.*"),
        ("scikit-learn=1.2.*", "scikit-learn==1.2.*"),
        ("scikit-learn==1.2", "scikit-learn==1.2"),
        ("numpy>=1,<2", "numpy>=1,<2"),
        ("numpy >=1.20, <2", "numpy>=1.20,<2"),
        ("numpy 1.20", "numpy==1.20"),
        ("numpy 1.20.* py_0", "numpy==1.20.*"),
        ("numpy=1.20=py310_0", "numpy==1.20"),
        ("conda-forge::numpy!=1.2.*", "numpy!=1.2.*"),
        ("numpy[version='>=1,<2']", "numpy>=1,<2"),
        ("numpy *", "numpy"),
        ("pytorch=1.4", "torch==1.4.*"),
        ("opencv", "opencv-python-headless"),
        ("matplotlib-base", "matplotlib"),
        ("ruamel_yaml", "ruamel.yaml"),
    ],
)
def test_a_conda_package_has_its_counterpart_on_pypi(spec: str, requirement: str) -> None:
    assert on_pypi([spec], ["anaconda", "conda-forge"]).requirements == (requirement,)


@pytest.mark.parametrize(
    ("spec", "channel"),
    [
        ("gcc", "conda-forge"),
        ("cudatoolkit=10.1", "conda-forge"),
        ("numpy=1.16|1.17", "conda-forge"),
        ("acme-models", "conda-forge"),
        ("numpy", "https://conda.acme.example/private"),
        ("acme::numpy", "conda-forge"),
    ],
)
def test_what_is_not_known_to_be_the_same_is_not_taken_from_pypi(spec: str, channel: str) -> None:
    with pytest.raises(NotOnPyPI) as missing:
        on_pypi([spec], [channel])
    assert missing.value.spec == spec


def test_what_wheels_bring_themselves_is_left_out() -> None:
    found = on_pypi(["pytorch", "cudatoolkit=10.1", "mkl"], ["pytorch", "defaults"])
    assert found.requirements == ("torch",)
    assert found.left_out == ("cudatoolkit=10.1", "mkl")


@pytest.mark.service("pypi")
def test_where_no_channel_can_be_reached_packages_come_from_pypi_and_it_is_said(
    shop: Workshop,
) -> None:
    site = shop.site({"CONDA_CHANNEL_ALIAS": NOBODY})
    made = shop.make("six=1.16", "toolz", channels=("conda-forge",), pip=("iniconfig",), site=site)
    assert {line.partition("==")[0] for line in made.packages} == {"iniconfig", "six", "toolz"}
    assert "six==1.16.0" in made.packages
    note = (
        "No conda channel can be reached (127.0.0.1: Connection refused); "
        "taking six==1.16.*, toolz from PyPI instead."
    )
    assert made.facts["notes"][0] == note  # type: ignore[index]
    assert note in shop.log
    assert shop.run("python", "-c", "import toolz, six; print('yes')") == "yes"


def test_taking_packages_from_pypi_can_be_forbidden_and_is_never_guessed(shop: Workshop) -> None:
    away = {"CONDA_CHANNEL_ALIAS": NOBODY}
    with pytest.raises(NoChannel, match=r"127\.0\.0\.1: Connection refused"):
        shop.make("six", channels=("main",), site=shop.site(away, conda_from_pypi=False))
    with pytest.raises(NoChannel) as failure:
        shop.make("six", "acme-models", channels=("main",), site=shop.site(away))
    assert "of 'acme-models', in these channels, that is not known" in failure.value.hint
    assert not shop.prefix.exists()


# Built for a run ----------------------------------------------------------------------------


def test_a_build_ends_with_a_conda_environment_in_the_cache(shop: Workshop) -> None:
    recipe = Recipe(CONDA, conda=("greet=1",), channels=(shop.near,))
    build = Build.begin(recipe, wanted_by="test", name="greeting", variables=shop.variables)
    state = until(lambda: (now := build.state()).is_over and now, 60)
    assert state.phase == "ready", state
    assert b"Linking 3 of 3" in build.read_log()

    failing = Recipe(CONDA, conda=("greet=1", "no-such-thing"), channels=(shop.near,))
    build = Build.begin(failing, wanted_by="test", name="greeting", variables=shop.variables)
    state = until(lambda: (now := build.state()).is_over and now, 60)
    assert state.phase == "failed"
    assert state.error is not None
    assert state.error.line == "no-such-thing"
    assert "+ no-such-thing" in state.why
