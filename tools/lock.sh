#!/bin/sh
# Renews requirements.lock from pyproject.toml: one file for all supported Pythons and systems,
# with hashes and without the name of any host. uv lives in a throw-away environment.
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
"$place/env/bin/pip" install --quiet --disable-pip-version-check uv
"$place/env/bin/uv" pip compile pyproject.toml --group dev --python-version 3.11 --universal \
    --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    --quiet --output-file "$place/requirements.lock" "$@"
if grep -n '://' "$place/requirements.lock"; then
    echo "lock not renewed: it names a host" >&2
    exit 1
fi
mv "$place/requirements.lock" requirements.lock
