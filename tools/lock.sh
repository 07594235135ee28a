#!/bin/sh
# Renews requirements.lock, requirements-bench.lock and requirements-mutants.lock from
# pyproject.toml: for all supported Pythons and systems, with hashes and without the name of any
# host. uv lives in a throw-away environment.
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
"$place/env/bin/pip" install --quiet --disable-pip-version-check uv

# lock FILE WHAT...: what is compiled into the file
lock() {
    file=$1
    shift
    "$place/env/bin/uv" pip compile "$@" --python-version 3.11 --universal \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --quiet --output-file "$place/$file"
    if grep -n '://' "$place/$file"; then
        echo "$file not renewed: it names a host" >&2
        exit 1
    fi
    mv "$place/$file" "$file"
}

lock requirements.lock pyproject.toml --group dev "$@"
lock requirements-bench.lock --group bench "$@"
lock requirements-mutants.lock pyproject.toml --group mutants --constraints requirements.lock "$@"
