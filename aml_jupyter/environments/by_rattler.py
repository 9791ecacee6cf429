"""conda without conda: py-rattler solves and links, in a process of its own.

``python -m aml_jupyter.environments.by_rattler REQUEST ANSWER`` reads a request and writes an
answer, both JSON. It is a process because py-rattler takes proxies and certificates from its
environment, and may crash when an interpreter that has used it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import rattler

UNSATISFIABLE = "unsatisfiable"
UNREACHABLE = "unreachable"
ABSENT = "absent"
REFUSED = "refused"
SPEC = "spec"
OTHER = "other"
"""What can go wrong: the solver refuses, no channel answers, there is no such channel, it wants a
password, a match spec makes no sense, and the rest."""

_NO_CHANNEL = 3  # the exit status when none can be reached, for image_build.sh
_CONNECT_SECONDS = 10.0
_RETRIES = 2


@dataclass(frozen=True)
class Request:
    """What to put where. ``channels`` are addresses, the most important first."""

    prefix: str
    specs: Sequence[str]
    channels: Sequence[str]
    verify: bool = True
    offline: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of it; ``about`` is the channel or match spec that ``problem`` is about.

    ``unreached`` says of channels that were asked in vain why that was; what was last known of
    them was used.
    """

    problem: str = ""
    said: str = ""
    about: str = ""
    unreached: Mapping[str, str] = field(default_factory=dict)


def main(request_path: str, answer_path: str) -> None:
    """Do what the request says, tell it on standard output, and write the answer."""
    request = Request(**json.loads(Path(request_path).read_text(encoding="utf-8")))
    work = _Installation(request)
    try:
        asyncio.run(work.do())
        answer = Answer(unreached=work.unreached)
    except _Trouble as trouble:
        answer = Answer(trouble.problem, trouble.said, trouble.about, work.unreached)
    aside = Path(f"{answer_path}.aside")
    aside.write_text(json.dumps(asdict(answer)), encoding="utf-8")
    aside.rename(answer_path)
    if answer.problem:
        print(answer.said)
    sys.stdout.flush()
    # Threads of py-rattler may still run, and they do not survive the interpreter's end.
    is_alone = answer.problem == UNREACHABLE and set(work.unreached) >= set(request.channels)
    os._exit(_NO_CHANNEL if is_alone else bool(answer.problem))


class _Trouble(Exception):
    def __init__(self, problem: str, said: object, about: str = "") -> None:
        super().__init__(problem)
        self.problem, self.said, self.about = problem, _without_tokens(str(said)), about


class _Installation:
    def __init__(self, request: Request) -> None:
        import rattler

        self.request = request
        self.unreached: dict[str, str] = {}
        if request.verify:
            self.client = rattler.Client.default_client(max_retries=_RETRIES)
        else:
            careless = rattler.Config.from_toml("tls-no-verify = true")
            self.client = rattler.Client.from_config(careless, max_retries=_RETRIES)

    async def do(self) -> None:
        specs = [_match_spec(spec) for spec in self.request.specs]
        self._try_to_connect()
        records = await self._solved(specs)
        await self._link(records)

    def _try_to_connect(self) -> None:
        """Find hosts that are not there sooner than py-rattler, which tries for minutes."""
        for channel in self.request.channels:
            said = "offline" if self.request.offline else _connection_trouble(channel)
            if said:
                self._give_up(channel, said)

    async def _solved(self, specs: Sequence[rattler.MatchSpec]) -> list[rattler.RepoDataRecord]:
        """The packages to install; channels that cannot be reached count as last seen."""
        import rattler
        from rattler.exceptions import GatewayError, SolverError

        print(f"Solving for {', '.join(self.request.specs)}", flush=True)
        virtual = rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env())
        while True:
            gateway = self._gateway()
            try:
                return await rattler.solve(
                    list(self.request.channels),
                    specs,
                    gateway=gateway,
                    virtual_packages=[package.into_generic() for package in virtual],
                )
            except SolverError as error:
                raise _Trouble(UNSATISFIABLE, error) from error
            except GatewayError as error:
                if not await self._find_unreachable(gateway):
                    raise _Trouble(self._kind(error), error, self._channel_in(error)) from error

    def _gateway(self) -> rattler.Gateway:
        from rattler import Gateway, SourceConfig

        known = SourceConfig(cache_action="force-cache-only")
        return Gateway(
            client=self.client,
            per_channel_config={f"{channel}/": known for channel in self.unreached},
        )

    async def _find_unreachable(self, gateway: rattler.Gateway) -> bool:
        """Whether a channel turns out not to be reachable that was not known to be so."""
        from rattler.exceptions import GatewayError

        known = len(self.unreached)
        for channel in self.request.channels:
            if channel in self.unreached:
                continue
            try:
                await gateway.query([channel], ["noarch"], ["python"], recursive=False)
            except GatewayError as error:
                if _kind_of(str(error)) == UNREACHABLE:
                    self._give_up(channel, str(error))
        return len(self.unreached) > known

    def _give_up(self, channel: str, said: str) -> None:
        reason = _without_tokens(said).strip().splitlines()[-1].removeprefix("Caused by: ")
        print(f"{channel} cannot be reached ({reason})", flush=True)
        self.unreached[channel] = reason

    def _kind(self, error: Exception) -> str:
        nothing_known = "no usable repodata cache" in str(error)
        return UNREACHABLE if nothing_known else _kind_of(str(error))

    def _channel_in(self, error: Exception) -> str:
        return next((url for url in self.request.channels if f"{url}/" in str(error)), "")

    async def _link(self, records: list[rattler.RepoDataRecord]) -> None:
        import rattler
        from rattler.exceptions import InstallerError

        try:
            await rattler.install(
                records,
                self.request.prefix,
                execute_link_scripts=True,  # as conda does; the job will run their code anyway
                client=self.client,
                reporter=cast("rattler.InstallerReporter", _Reporter(len(records))),
            )
        except InstallerError as error:
            raise _Trouble(_kind_of(str(error)), error) from error


class _Reporter:
    """Says each package that is fetched or linked; py-rattler asks for all these methods."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.names: dict[int, str] = {}
        self.fetched = self.linked = 0

    def __getattr__(self, name: str) -> object:
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        self.names[operation] = package_name
        return operation

    def on_download_start(self, cache_entry: int) -> int:
        self.fetched += 1
        self._say("Downloading", self.fetched, self.names.get(cache_entry, ""))
        return cache_entry

    def on_link_start(self, operation: int, package_name: str) -> int:
        self.linked += 1
        self._say("Linking", self.linked, package_name)
        return operation

    def on_post_link_complete(self, index: int, success: bool) -> None:
        if not success:
            print("A package's own last step (its post-link script) failed.", flush=True)

    def _say(self, what: str, done: int, name: str) -> None:
        print(f"{what} {done} of {self.total}: {name}", flush=True)


def _match_spec(spec: str) -> rattler.MatchSpec:
    import rattler
    from rattler.exceptions import InvalidMatchSpecError

    try:
        return rattler.MatchSpec(spec)
    except InvalidMatchSpecError as error:
        raise _Trouble(SPEC, error, spec) from error


def _connection_trouble(channel: str) -> str:
    """Why nothing listens where the channel, or the proxy on the way to it, should be."""
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(channel)
    if url.scheme not in ("http", "https") or not url.hostname:
        return ""
    proxy = None if proxy_bypass(url.hostname) else getproxies().get(url.scheme)
    if proxy:
        url = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), _CONNECT_SECONDS).close()
    except OSError as error:
        return f"{url.hostname}: {error.strerror or error}"
    return ""


def _without_tokens(said: str) -> str:
    return re.sub(r"/t/[^/\s]+/", "/t/…/", said)


def _kind_of(said: str) -> str:
    """What kind of trouble py-rattler's words are about."""
    if "404 Not Found" in said or "No such file or directory" in said:
        return ABSENT
    if "401 Unauthorized" in said:
        return REFUSED
    away = ("error sending request", "dns error", "timed out", "HTTP status", "connection")
    return UNREACHABLE if any(words in said for words in away) else OTHER


if __name__ == "__main__":
    main(*sys.argv[1:])
