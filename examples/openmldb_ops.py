#!/usr/bin/env python3
"""Replaces OpenMLDB's tools/openmldb_ops.py: starts openmldb-ops with the same arguments.

The process is replaced, so signals and the exit code are those of openmldb-ops. The program is searched
in PATH; the variable OPENMLDB_OPS names another one.
"""
import os
import shutil
import sys

program = os.environ.get("OPENMLDB_OPS") or shutil.which("openmldb-ops")
if program is None:
    print("openmldb_ops.py: openmldb-ops is not in PATH; name it in OPENMLDB_OPS", file=sys.stderr)
    sys.exit(1)
try:
    os.execv(program, [program, *sys.argv[1:]])
except OSError as error:
    print(f"openmldb_ops.py: {program} cannot be started: {error.strerror}", file=sys.stderr)
    sys.exit(1)
