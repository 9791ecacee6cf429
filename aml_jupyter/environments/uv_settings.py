"""What uv is told of indexes, proxies, certificates and credentials: as pip would be."""

from __future__ import annotations

import configparser
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from .making import BuildError, Site

# They say where packages go, which is ours to say.
_DROPPED = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
    "UV_VENV_SEED",
    "UV_VENV_CLEAR",
)
# pip's setting → uv's, and what stands between several.
_OF_PIP = {
    "index_url": ("UV_DEFAULT_INDEX", " "),
    "extra_index_url": ("UV_EXTRA_INDEX_URL", " "),
    "find_links": ("UV_FIND_LINKS", ","),
    "trusted_host": ("UV_INSECURE_HOST", " "),
    "no_index": ("UV_NO_INDEX", " "),
    "cert": ("SSL_CERT_FILE", " "),
}
_INDEX = ("--index-url", "-i")
_EXTRA_INDEX = "--extra-index-url"
_SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def variables(site: Site, lines: Sequence[str] = ()) -> dict[str, str]:
    """The site's variables, with pip's settings in uv's words where uv has none of its own.

    ``lines`` are the requirements: an index named there counts, as it does for pip.
    """
    found = {name: text for name, text in site.variables.items() if name not in _DROPPED}
    for name, text in _settings_of_pip(site.variables).items():
        uv_name, separator = _OF_PIP[name]
        found.setdefault(uv_name, separator.join(text.split()))
    if "REQUESTS_CA_BUNDLE" in found:
        found.setdefault("SSL_CERT_FILE", found["REQUESTS_CA_BUNDLE"])
    options = {line.replace("=", " ").split()[0] for line in lines if line.startswith("-")}
    if options.intersection(_INDEX):
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
            found.pop(name, None)
    if _EXTRA_INDEX in options or "UV_EXTRA_INDEX_URL" in found:
        # pip takes the best version of all indexes; torch's own index holds old copies of others.
        found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return {**found, **_certificates(site, found), **_credentials(site)}


def _settings_of_pip(given: Mapping[str, str]) -> dict[str, str]:
    """Pip's settings by environment variables and by its configuration files."""
    found: dict[str, str] = {}
    for path in _files_of_pip(given):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update((key.replace("-", "_"), text) for key, text in parser.items(section))
    found.update(
        (name[4:].lower(), text) for name, text in given.items() if name.startswith("PIP_")
    )
    return {name: text for name, text in found.items() if name in _OF_PIP and text}


def _files_of_pip(given: Mapping[str, str]) -> Iterator[str]:
    asked = given.get("PIP_CONFIG_FILE")
    if asked == os.devnull:
        return
    home = given.get("HOME") or os.path.expanduser("~")
    config = given.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    yield "/etc/pip.conf"
    yield os.path.join(home, ".pip", "pip.conf")
    yield os.path.join(config, "pip", "pip.conf")
    if asked:
        yield asked


def _certificates(site: Site, found: Mapping[str, str]) -> dict[str, str]:
    """The file of trusted certificates when more of them are asked for than there are."""
    extra = site.options.get("ca_certificates")
    if not extra:
        return {}
    paths = [str(path) for path in extra] if isinstance(extra, (list, tuple)) else [str(extra)]
    known = found.get("SSL_CERT_FILE") or _system_certificates()
    bundle = site.scratch / "certificates.pem"
    try:
        texts = [Path(path).read_text("utf-8") for path in [*filter(None, [known]), *paths]]
    except OSError as error:
        raise BuildError(
            f"The certificates {error.filename} cannot be read: {error.strerror}.",
            "Correct `ca_certificates` of the target.",
        ) from error
    bundle.write_text("\n".join(texts), encoding="utf-8")
    return {"SSL_CERT_FILE": str(bundle)}


def _system_certificates() -> str | None:
    candidates = [ssl.get_default_verify_paths().cafile, *_SYSTEM_CERTIFICATES]
    return next((path for path in candidates if path and os.path.isfile(path)), None)


def _credentials(site: Site) -> dict[str, str]:
    """Where uv and git find the passwords of indexes and repositories."""
    text = str(site.secrets.get("netrc") or "")
    if not text:
        return {}
    known = site.variables.get("NETRC") or os.path.join(
        site.variables.get("HOME") or os.path.expanduser("~"), ".netrc"
    )
    try:
        text += "\n" + Path(known).read_text("utf-8", errors="replace")
    except OSError:
        pass
    netrc = site.private_file("netrc", text)
    return {"NETRC": str(netrc), **_for_git(site)}


def _for_git(site: Site) -> dict[str, str]:
    """Git does not ask netrc files other than the user's own; a credential store it does."""
    import netrc

    path = site.private_file("netrc-of-build", str(site.secrets["netrc"]))
    hosts = netrc.netrc(str(path)).hosts
    urls = [
        f"https://{quote(login, safe='')}:{quote(password or '', safe='')}@{host}\n"
        for host, (login, _, password) in hosts.items()
    ]
    store = site.private_file("git-credentials", "".join(urls))
    count = int(site.variables.get("GIT_CONFIG_COUNT") or 0)
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "credential.helper",
        f"GIT_CONFIG_VALUE_{count}": f"store --file='{store}'",
        "GIT_TERMINAL_PROMPT": "0",
    }
