#!/bin/sh
# Renews the files requirements*.lock from pyproject.toml, for all supported Pythons and
# systems, with hashes and without the name of any host; then requirements.table.json, which tells
# what each pin requires in its turn. All that it needs lives in a throw-away environment.
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
"$place/env/bin/pip" install --quiet --disable-pip-version-check --upgrade pip uv packaging

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
}

# thence with the extras that its commands need, built by what builds the wheel
"$place/env/bin/python" >"$place/build.txt" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
thence="pyproject.toml --extra server --extra sync $place/build.txt"
# beside FILE...: what a lock pins stands in no other file that goes into the same environment
beside() {
    for file; do
        echo "--constraints $place/$file"
        sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' "$place/$file"
    done
}

lock requirements.lock $thence "$@"
lock requirements-dev.lock $thence --group dev $(beside requirements.lock) "$@"
lock requirements-ray.lock $thence --group dev --extra ray \
    $(beside requirements.lock requirements-dev.lock) "$@"
lock requirements-mutants.lock $thence --group mutants --constraints "$place/requirements.lock" \
    --constraints "$place/requirements-dev.lock" "$@"
lock requirements-bench.lock --group bench "$@"
lock requirements-release.lock --group release "$@"
for group in frameworks frameworks-adk frameworks-crewai frameworks-llama-index; do
    lock "requirements-$group.lock" pyproject.toml --extra otel --group "$group" "$@"
done
mv "$place"/requirements*.lock .
"$place/env/bin/python" -m tools.lock_table
