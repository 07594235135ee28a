"""Every code word of an error: whether a retry can help, the exit code, and the HTTP status."""

import ast
import re

import pytest
from tests.house.tree import PACKAGE, ROOT, modules

from thence import errors
from thence.cli.failure import failure_of
from thence.errors import ThenceError

# whether it is recoverable, the exit code of the CLI, the status of the server and its code in the
# query API; the wire's code is the word itself
USUAL = False, 1, 503, "unavailable"
CODES = dict.fromkeys(
    (
        *("bad_answer", "batch_failed", "budget_spent", "extra_missing", "git_failed", "id_reused"),
        *("log_read_only", "model_call_failed", "not_recorded", "not_seen", "outcome_failed"),
        *("port_taken", "prune_refused", "redaction_refused", "refused", "run_diverged"),
        *("run_goes_on", "run_id_taken", "server_exists", "sync_error", "thence_error"),
        *("unsupported_platform", "writer_closed"),
    ),
    USUAL,
) | {
    "account_refused": (False, 1, 400, "invalid_parameter"),
    "ambiguous_id": (False, 2, 422, "invalid_parameter"),
    "append_failed": (True, 1, 503, "unavailable"),
    "bad_settings": (False, 2, 503, "unavailable"),
    "batch_refused": (False, 1, 400, "invalid_parameter"),
    "body_missing": (False, 3, 503, "unavailable"),
    "cursor_unknown": (False, 1, 409, "unavailable"),
    "cyclic_dependency_error": (False, 3, 503, "unavailable"),
    "damaged_copy": (False, 3, 503, "unavailable"),
    "database_unavailable": (True, 3, 503, "unavailable"),
    "endpoint_down": (True, 1, 503, "unavailable"),
    "event_not_found": (False, 4, 404, "event_not_found"),
    "event_pruned": (False, 4, 404, "event_not_found"),
    "event_too_large": (False, 2, 400, "invalid_parameter"),
    "file_busy": (True, 1, 503, "unavailable"),
    "heads_moved": (True, 1, 503, "unavailable"),
    "invalid_cursor": (False, 2, 422, "invalid_cursor"),
    "invalid_event": (False, 2, 400, "invalid_parameter"),
    "invalid_filter": (False, 2, 422, "invalid_parameter"),
    "line_not_found": (False, 4, 503, "unavailable"),
    "log_busy": (True, 1, 503, "unavailable"),
    "log_full": (True, 1, 503, "unavailable"),
    "not_a_log": (False, 4, 404, "not_found"),
    "not_a_project": (False, 4, 503, "unavailable"),
    "not_a_server": (False, 4, 503, "unavailable"),
    "not_logged_in": (False, 1, 401, "unauthorized"),
    "outcome_unknown": (True, 5, 503, "unavailable"),
    "planning_error": (False, 2, 503, "unavailable"),
    "read_failed": (True, 1, 503, "unavailable"),
    "scenario_error": (False, 2, 503, "unavailable"),
    "server_busy": (True, 1, 429, "unavailable"),
    "server_unreachable": (True, 1, 503, "unavailable"),
    "sync_refused": (False, 1, 403, "forbidden"),
    "vocabulary_mismatch": (False, 1, 409, "unavailable"),
}


def error_of(code):
    """Makes an error of a code: of the class of that name if thence.errors has it."""
    kind = getattr(errors, code.title().replace("_", ""), None)
    return kind("could not do it") if kind else ThenceError("could not do it", code=code)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.promise("P6")
def test_code_word_has_its_exit_code_and_its_status(code):
    from thence.server.errors import refusal, wire_refusal

    error = error_of(code)
    told = wire_refusal(error)
    spelled = refusal({"path": "/logs"}, error)
    exit_code = failure_of(error).exit_code
    assert (failure_of(error).code, told.code, spelled.status) == (code, code, told.status)
    assert (error.recoverable, exit_code, told.status, spelled.code) == CODES[code]


KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {
    *("BatchRefused", "BodyMissing", "FileBusy", "ModelCallFailed", "ModelsUnavailable"),
}
TABLES = ("errors.py", "cli/failure.py", "server/errors.py")


def classes(module):
    """Yields the codes that the classes of errors in a module give."""
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(base) in KINDS for base in node.bases
        ):
            yield re.sub(r"(?<!^)(?=[A-Z])", "_", node.name).lower()


def given_words(module):
    """Yields the words that a module gives an error as its code, itself or by a variable."""
    names = {"code"} if "code=code" in module.text else set()
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in KINDS:
            values = [one.value for one in node.keywords if one.arg == "code"]
            values += node.args if ast.unparse(node.func) == "SuppressCodes" else []
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            pairs = zip(getattr(node.targets[0], "elts", ()), node.value.elts, strict=False)
            values = [value for target, value in pairs if ast.unparse(target) in names]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in names:
            values = [node.value]
        else:
            continue
        for value in values:
            parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            texts = (part.value for part in parts if isinstance(part, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def test_source_gives_errors_these_codes_and_no_others():
    sources = modules(PACKAGE)
    raising = [one for one in sources if any(f"{kind}(" in one.text for kind in KINDS)]
    words = {word for module in raising for word in given_words(module)} - {""}
    assert words <= CODES.keys()
    words |= {word for module in sources for word in classes(module)}
    others = [one for one in sources if not one.path.endswith(TABLES)]
    said = {word for word in CODES if any(f'"{word}"' in one.text for one in others)}
    assert said | words - {"__gave_way", "models_unavailable"} == CODES.keys() - {"thence_error"}


def test_page_has_every_code_with_its_exit_code_and_whether_a_retry_can_help():
    page = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d) \| (yes|no) \|", page, re.MULTILINE)
    told = {code: (retry == "yes", int(exit_code)) for code, exit_code, retry in rows}
    assert told == {code: row[:2] for code, row in CODES.items()}
