#!/bin/sh
# Makes the environment of a run inside an image that is being built; its argument is a folder
# that outlives the build, if there is one. Any POSIX shell has to understand this, in any image.
# image_faults.py reads the lines that begin with "aml: refused" and "aml: solving".
set -eu
umask 022

stage=/opt/aml/build
packages=$stage/packages
environment=/opt/aml/env
cache=${1:-}
netrc=/run/secrets/aml-netrc
no_network='sending request|dns error|failed to (fetch|download)|client error'
torch_index=https://download.pytorch.org/whl/cpu
# What conda_tools.py knows by heart, too: how solvers say that they refuse, and that they are alone.
refusals='No candidates were found|cannot be installed|not installable|nothing provides'
refusals="$refusals|does not exist|conflicts? with|PackagesNotFoundError|UnsatisfiableError|^ *- "
no_channel='Could not resolve|Name or service not known|NameResolution|Failed to connect'
no_channel="$no_channel|Connection (refused|reset|failed|timed out|error)|Timeout was reached"
no_channel="$no_channel|timed out|CondaHTTPError|HTTP (000|403|407|5[0-9][0-9])|Max retries exceeded"
no_channel="$no_channel|Network is unreachable|[Dd]ownload error|Couldn't connect"
about_python='(^|[^[:alnum:]_.-])python([^[:alnum:]_-]|-[0-9]|$)'

say() { echo "aml: $*"; }

# For the record as well as for the log.
note() {
    say "warning: $*"
    echo "# note $*" >>"$work/notes"
}

refuse() {
    say "refused: $*"
    exit 1
}

work=$(mktemp -d)
linked=
leave() {
    rm -rf "$work"
    if [ -n "$linked" ]; then rm -f "$linked"; fi
}
trap leave EXIT

# Set for this step alone: nothing of it is in the image's own environment.
for file in /run/secrets/aml-settings "$packages/settings"; do
    if [ -s "$file" ]; then . "$file"; fi
done
for file in "$packages/ca.pem" /run/secrets/aml-ca; do
    if [ -s "$file" ]; then
        export SSL_CERT_FILE="$file" REQUESTS_CA_BUNDLE="$file" PIP_CERT="$file"
        export CURL_CA_BUNDLE="$file" GIT_SSL_CAINFO="$file"
    fi
done
if [ -s "$netrc" ]; then
    export NETRC="$netrc" GIT_TERMINAL_PROMPT=0
    # git looks nowhere else.
    if [ ! -e "$HOME/.netrc" ]; then
        linked=$HOME/.netrc
        ln -s "$netrc" "$linked"
    fi
fi
# Jobs run as any user, so nothing may lie in root's home.
export UV_PYTHON_INSTALL_DIR=/opt/aml/python UV_PYTHON_INSTALL_BIN=0
export UV_LINK_MODE=copy NO_COLOR=1 UV_CACHE_DIR="${cache:-$work}/uv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

find_uv() {
    uv=/opt/aml/uv/uv
    if "$uv" --version >/dev/null 2>&1; then return; fi
    for python in python3 python; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            "$python" -m pip install --quiet --no-cache-dir --target "$work/tools" uv
            uv=$work/tools/bin/uv
            return
        fi
    done
    refuse "no uv"
}

# Each line of pythons is one try: whose Python, which versions, and what to say when it is taken.
make_environment() {
    if [ -x "$environment/bin/python" ]; then return; fi
    unreachable=
    while read -r whose version note; do
        if [ "$whose" = managed-python ] && [ -n "$unreachable" ]; then continue; fi
        if "$uv" venv --quiet "--$whose" --python "$version" --system-site-packages \
            "$environment" >"$work/said" 2>&1; then
            if [ -n "$note" ]; then note "$note"; fi
            show_packages_of_the_image
            return
        fi
        cat "$work/said"
        if grep -qiE "$no_network" "$work/said"; then unreachable=1; fi
    done <"$packages/pythons"
    refuse "no Python"
}

# A virtual environment that the image works in is not its Python's own site-packages.
show_packages_of_the_image() {
    theirs=$(python3 -c 'import sys, sysconfig
if sys.prefix != sys.base_prefix: print(sysconfig.get_path("purelib"))' 2>/dev/null || :)
    ours=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [ -n "$theirs" ] && [ "${theirs##*/lib/}" = "${ours##*/lib/}" ]; then
        echo "import site; site.addsitedir('$theirs')" >"$ours/aml-image.pth"
    fi
}

make_conda_environment() {
    if [ -d "$environment/conda-meta" ]; then return; fi
    export CONDA_CHANNEL_PRIORITY=strict CONDA_PKGS_DIRS="${cache:-$work}/conda"
    export RATTLER_CACHE_DIR="${cache:-$work}/rattler" MAMBA_ROOT_PREFIX="$work/mamba"
    if ! find_conda; then
        take_from_pypi "py-rattler, which solves for conda, cannot be had" || refuse "no conda"
        return
    fi
    # Each is for one Python: the one asked for, then the next that a channel may have.
    for try in "$packages"/conda/tries/*; do
        rm -rf "$environment" "$work/done"
        say "solving $(cat "$try/python")"
        { if solve "$try" 2>&1; then : >"$work/done"; fi; } | tee "$work/said"
        if [ -e "$work/done" ]; then
            note_python "$try"
            return
        fi
        if is_unreachable; then
            take_from_pypi "no conda channel can be reached" || refuse "no channel"
            return
        fi
        if ! grep -E "$refusals" "$work/said" | grep -qE "$about_python"; then refuse "conda"; fi
        if [ ! -e "$work/refused" ]; then cp "$work/said" "$work/refused"; fi
    done
    say "solving failed with every Python; what was said first:"
    cat "$work/refused"
    refuse "conda"
}

find_conda() {
    for conda in micromamba mamba conda /opt/conda/bin/conda /opt/miniconda/bin/conda; do
        if command -v "$conda" >/dev/null 2>&1; then
            say "conda packages by $conda"
            return
        fi
    done
    conda=
    say "conda packages by py-rattler, since there is no conda in this image"
    "$uv" venv --quiet --python '>=3.10' "$work/solver" &&
        "$uv" pip install --quiet --python "$work/solver/bin/python" py-rattler
}

solve() {
    if [ -n "$conda" ]; then
        xargs "$conda" create --yes --prefix "$environment" <"$1/arguments"
        return
    fi
    status=0
    "$work/solver/bin/python" "$stage/tools/by_rattler.py" "$1/request.json" "$work/answer" ||
        status=$?
    # 3 is its word for channels of which none can be reached.
    if [ "$status" = 3 ]; then : >"$work/unreachable"; fi
    return "$status"
}

is_unreachable() {
    if [ -z "$conda" ]; then
        [ -e "$work/unreachable" ]
    elif grep -qE "$refusals" "$work/said"; then
        return 1 # some channel did answer
    else
        grep -qE "$no_channel" "$work/said"
    fi
}

note_python() {
    for first in "$packages"/conda/tries/*; do break; done
    if [ "$1" != "$first" ]; then
        note "No channel has $(cat "$first/python"); $(cat "$1/python") was taken instead."
    fi
}

take_from_pypi() {
    rm -rf "$environment"
    if [ ! -s "$packages/conda/instead" ]; then return 1; fi
    note "$1; taken from PyPI instead:" "$(tr '\n' ' ' <"$packages/conda/instead")"
    cat "$packages/conda/instead" "$packages/requirements.txt" >"$work/requirements.txt"
    requirements=$work/requirements.txt
}

install() {
    exactly=--exact
    if [ -d "$environment/conda-meta" ]; then exactly=; fi
    "$uv" pip install --python "$environment/bin/python" --compile-bytecode $exactly $aml_flags \
        --requirement "$requirements" "$@"
}

# From an earlier environment the same comes out as from none: nothing stays because it was there.
install_packages() {
    if [ ! -s "$requirements" ]; then return; fi
    { if install $aml_upgrade 2>&1; then : >"$work/done"; fi; } | tee "$work/said"
    if [ -e "$work/done" ]; then return; fi
    if [ -n "$cache" ] && grep -qiE "$no_network" "$work/said"; then
        say "the package index cannot be reached; trying with what was downloaded before"
        if install --offline; then return; fi
    fi
    if [ -n "${aml_torch_note:-}" ] && grep -qF "$torch_index" "$work/said"; then
        note "$aml_torch_note"
        grep -vF "$torch_index" "$requirements" >"$work/without-torch.txt"
        requirements=$work/without-torch.txt
        if install $aml_upgrade; then return; fi
    fi
    refuse "packages"
}

write_lock() {
    if [ -e "$work/notes" ]; then cat "$work/notes"; fi
    # Starting a Python takes longer than reading what uv wrote of it.
    python=$(sed -n 's/^version_info *= *//p' "$environment/pyvenv.cfg" 2>/dev/null || :)
    if [ -z "$python" ]; then
        python=$("$environment/bin/python" -c 'import platform; print(platform.python_version())')
    fi
    echo "# python $python"
    "$uv" pip list --quiet --format freeze --python "$environment/bin/python" >"$work/installed"
    if [ -d "$environment/conda-meta" ]; then
        "$environment/bin/python" - "$environment" "$work/installed" <<'END'
# What conda brought is told as conda's, and not once more.
import glob, json, re, sys
brought = set()
for path in sorted(glob.glob(sys.argv[1] + "/conda-meta/*.json")):
    record = json.load(open(path, encoding="utf-8"))
    print("# conda {name}=={version}={build}".format(**record))
    for file in record.get("files", ()):
        found = re.search(r"([^/]+?)-([^/-]+)(-py[\d.]+)?\.(dist|egg)-info(/|$)", file)
        if found:
            brought.add((re.sub("[-_.]+", "-", found[1]).lower(), found[2]))
for line in open(sys.argv[2], encoding="utf-8"):
    name, _, version = line.strip().partition("==")
    if (re.sub("[-_.]+", "-", name).lower(), version) not in brought:
        print(line.strip())
END
    else
        cat "$work/installed"
    fi
}

requirements=$packages/requirements.txt
find_uv
if [ -d "$packages/conda" ]; then make_conda_environment; fi
make_environment
install_packages
write_lock >/opt/aml/environment.lock
# Told as well, since reading a file out of an image takes a container. image.py counts the lines,
# for builders cut long outputs short.
say lock
cat /opt/aml/environment.lock
say "end of lock, $(grep -c "" /opt/aml/environment.lock) lines"
