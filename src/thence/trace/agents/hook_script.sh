#!/bin/sh
# thence: run by the hooks of agents and of git; `thence hook install` writes it anew
python=PYTHON program=PROGRAM
exec 2>/dev/null
[ -x "$python" ] && [ -r "$program" ] || exit 0
[ "$1" != git ] || [ -e "${0%/*}/git-hooks" ] || exit 0
case "$1 $2" in
"git post-commit") set -- git post-commit "commit=$(git rev-parse HEAD)" ;;
"git post-merge")
    set -- git post-merge "commit=$(git rev-parse HEAD)" "parents=$(git log -1 --format=%P)" \
        "how=$(git reflog -1 --format=%gs)"
    ;;
"git prepare-commit-msg")
    for id in "$CLAUDE_CODE_SESSION_ID" "${CODEX_SESSION_ID:-$CODEX_THREAD_ID}"; do
        [ -z "$id" ] || git interpret-trailers --in-place --if-exists addIfDifferent \
            --trailer "thence-session: $id" "$3"
    done
    exit 0
    ;;
esac
run='import sys; sys.path.append(sys.argv.pop(1)); import fired; fired.main()' # compiled once
exec "$python" -I -S -c "$run" "${program%/*}" "$@"
