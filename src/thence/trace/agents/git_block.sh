# >>> thence hook >>>
thence_hook="$(git rev-parse --git-common-dir)/thence/agents/hook.sh"
if [ -r "$thence_hook" ]; then # it lies in the git folder, which no clone brings
    if [ NAME = post-rewrite ]; then # the lines on stdin are kept for what stands below
        thence_pairs="$(cat)"
        printf '%s\n' "$thence_pairs" | sh "$thence_hook" git NAME "by=$1" || :
        exec <<THENCE_PAIRS
$thence_pairs
THENCE_PAIRS
    else
        sh "$thence_hook" git NAME "$@" || :
    fi
fi
# <<< thence hook <<<
