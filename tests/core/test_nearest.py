"""The nearest of known names."""

import subprocess
import sys


def test_difflib_is_not_imported_before_something_went_wrong():
    program = "import sys, thence.core.nearest; print('difflib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "False\n"
