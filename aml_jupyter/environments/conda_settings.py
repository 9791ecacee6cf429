"""Where conda's packages come from on this machine, as conda itself would be told.

conda and its kin read these settings themselves; py-rattler has to be handed them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_ALIAS = "https://conda.anaconda.org"
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_NO_CHANNELS = ("conda-forge",)
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))


@dataclass(frozen=True)
class CondaSettings:
    """The part of conda's settings that says where packages are and how to get at them.

    ``certificates`` is a file of certificates to trust, or None for the usual ones.
    """

    alias: str = _ALIAS
    channels: tuple[str, ...] = ()
    defaults: tuple[str, ...] = _DEFAULTS
    custom: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True
    certificates: str | None = None
    offline: bool = False

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> CondaSettings:
        """The settings in ``.condarc`` files and in the variables, which win."""
        found: dict[str, object] = {}
        for path in _files(variables):
            found.update(_content(path))
        verify = variables.get("CONDA_SSL_VERIFY", found.get("ssl_verify", True))
        bundle = variables.get("SSL_CERT_FILE") or variables.get("REQUESTS_CA_BUNDLE")
        return cls(
            alias=str(variables.get("CONDA_CHANNEL_ALIAS") or found.get("channel_alias") or _ALIAS),
            channels=_texts(variables.get("CONDA_CHANNELS") or found.get("channels")),
            defaults=_texts(found.get("default_channels")) or _DEFAULTS,
            custom={str(k): str(v) for k, v in _mapping(found.get("custom_channels")).items()},
            groups={
                str(k): _texts(v) for k, v in _mapping(found.get("custom_multichannels")).items()
            },
            proxies={str(k): str(v) for k, v in _mapping(found.get("proxy_servers")).items()},
            verify=str(verify).lower() not in _FALSE,
            certificates=_file(verify) or _file(bundle),
            offline=str(variables.get("CONDA_OFFLINE", found.get("offline"))).lower() in _TRUE,
        )

    def urls(self, channels: Iterable[str]) -> tuple[str, ...]:
        """The addresses of channels, the most important first; of the user's own if none."""
        named = list(channels) or list(self.channels) or list(_NO_CHANNELS)
        found = [url for name in named if name != "nodefaults" for url in self._expand(name)]
        return tuple(dict.fromkeys(found))

    def variables(self) -> dict[str, str]:
        """The same as variables that other programs understand."""
        made = {}
        for scheme in ("http", "https"):
            if scheme in self.proxies:
                made[f"{scheme.upper()}_PROXY"] = self.proxies[scheme]
        if self.certificates:
            made["SSL_CERT_FILE"] = self.certificates
        return made

    def _expand(self, name: str) -> Iterator[str]:
        if name in self.groups:
            yield from map(self._url, self.groups[name])
        elif name == "defaults":
            yield from map(self._url, self.defaults)
        else:
            yield self._url(name)

    def _url(self, name: str) -> str:
        if urlsplit(name).scheme:
            return name.rstrip("/")
        if name.startswith(("/", "~", "./", "../")):
            return Path(name).expanduser().absolute().as_uri()
        # A custom channel is known by its first words: `team` makes an address of `team/label/x`.
        custom = self.custom.get(name) or self.custom.get(name.partition("/")[0])
        return f"{(custom or self.alias).rstrip('/')}/{name}"


def _files(variables: Mapping[str, str]) -> Iterator[Path]:
    """The files that conda reads, those that win last."""
    home = Path(variables.get("HOME") or os.path.expanduser("~"))
    config = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    folders = [Path("/etc/conda"), Path("/var/lib/conda")]
    folders += [
        Path(variables[key]) for key in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX") if variables.get(key)
    ]
    folders += [config / "conda", home / ".conda", home]
    folders += [Path(variables["CONDA_PREFIX"])] if variables.get("CONDA_PREFIX") else []
    for folder in folders:
        yield from (folder / ".condarc", folder / "condarc")
    yield from (home / ".mambarc",)
    for key in ("CONDARC", "MAMBARC"):
        if variables.get(key):
            yield Path(variables[key])


def _content(path: Path) -> Mapping[str, object]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # conda itself would complain; what we need of it has defaults
    return _mapping(content)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(filter(None, (word.strip() for word in value.split(","))))
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()


def _file(value: object) -> str | None:
    return value if isinstance(value, str) and os.path.isfile(value) else None
