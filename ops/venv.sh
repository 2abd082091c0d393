#!/bin/sh
# Make or renew a virtual environment of the clone: `sh ops/venv.sh run|dev|queue|aws|checkov|ship`. Costs nothing when it is current.
#
# PYTHON names the interpreter to use; else the newest working Python 3.11 to 3.13 is looked for.
set -eu
cd "$(dirname "$0")/.."

kind=$1
case $kind in
    run) folder=.venv lock=requirements/ops.txt ;;
    dev) folder=.venv lock=requirements/dev.txt ;;
    queue | aws | checkov | ship) folder=.venv-$kind lock=requirements/$kind.txt ;;
    *) echo "usage: sh ops/venv.sh run|dev|queue|aws|checkov|ship" >&2; exit 2 ;;
esac
stamp=$folder/made-from

# Whether an interpreter is fit: really run, because a shim may be there for a version that is not.
fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

identity() {
    "$1" -c 'import sys; print(sys.base_prefix, ".".join(map(str, sys.version_info[:3])))' 2>/dev/null || true
}

candidates() {
    for minor in 13 12 11; do
        echo "python3.$minor"
        for root in "${PYENV_ROOT:-}" "$HOME/.pyenv" "$(dirname "$(command -v python3.$minor || echo /)")/.."; do
            # The newest first; an unmatched pattern is no program and drops out below.
            ls -d "$root/versions/3.$minor."*/bin/python 2>/dev/null | sort -r
        done
    done
    echo python3
    echo python
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && echo "$PYTHON" && return
        echo "PYTHON=$PYTHON is not a working Python 3.11, 3.12 or 3.13 with venv." >&2
        exit 2
    fi
    for candidate in $(candidates); do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No working Python 3.11, 3.12 or 3.13 (with venv) found: install one, or name it, as in make run PYTHON=/path/to/python3" >&2
    exit 2
}

fingerprint() {
    echo "$1 $(cksum < "$2")"
}

# What `dev` installs contains what `run` needs.
is_current() {
    [ -f "$stamp" ] && [ -x "$folder/bin/python" ] || return 1
    made=$(head -n 1 "$stamp")
    [ "$made" = "$(fingerprint "$kind" "$lock")" ] ||
        { [ "$kind" = run ] && [ "$made" = "$(fingerprint dev requirements/dev.txt)" ]; } || return 1
    [ "$(sed -n 2p "$stamp")" = "$(pwd)" ] || return 1
    "$folder/bin/python" -c '' 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] || [ "$(identity "$PYTHON")" = "$(identity "$folder/bin/python")" ]
}

# The program `scoreboard`, and the clone on the path: what `pip install -e` does, without a build.
install_clone() {
    packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    pwd > "$packages/scoreboard-clone.pth"
    printf '#!/bin/sh\nexec "$(dirname "$0")/python" -P -m ops "$@"\n' > "$folder/bin/scoreboard"
    chmod +x "$folder/bin/scoreboard"
}

is_current && exit 0

python=$(find_python)
rm -f "$stamp"
if [ "$(identity "$python")" != "$(identity "$folder/bin/python")" ] || [ ! -x "$folder/bin/pip" ]; then
    echo "Making $folder with $(identity "$python" | sed 's/.* /Python /')"
    rm -rf "$folder"
    "$python" -m venv "$folder"
fi
echo "Installing $lock into $folder (a minute, only once)"
# The locks are complete, and older pips take an extra of a dependency for one without a hash.
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-input --progress-bar off \
    --no-deps --require-hashes -r "$lock"
case $kind in run | dev) install_clone ;; esac
{ fingerprint "$kind" "$lock"; pwd; } > "$stamp"
