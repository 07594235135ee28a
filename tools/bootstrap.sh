#!/bin/sh
# Finds a Python of 3.11 or later, then hands over to bootstrap.py.
# PYTHON=/path/to/python names one; otherwise the first on PATH that starts and is new enough is
# taken. A candidate is run, not only looked up: a shim can exist for a Python that doesn't.
here=$(dirname "$0")
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if "$python" -c "$new_enough" >/dev/null 2>&1; then
        exec "$python" "$here/bootstrap.py" "$@"
    fi
done
found=$("${PYTHON:-python3}" --version 2>&1) || found="none"
echo "set-up failed: no Python of 3.11 or later was found" >&2
echo "  why:  tried ${PYTHON:-python3 and python3.11 to python3.14} on PATH; found: $found" >&2
echo "  next: install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12 test" >&2
exit 1
