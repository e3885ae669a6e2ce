"""Lines of JSON on disk, one per finished part of a run, so that a run can go on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everframe.core.errors import UserError


class LineCache:
    """A header and rows in a file.

    Raises `UserError` if the file holds a run of other settings. A last line cut off by a crash is
    dropped.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = json.dumps(header, sort_keys=True)
        if not path.exists():
            path.write_text(wanted + "\n", encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        if not lines or lines[0] != wanted:
            raise UserError(
                f"{path.parent} holds a run of another model or other options: give another "
                "--out, or delete that folder"
            )
        self.rows = [json.loads(line) for line in lines[1:]]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def add(self, row: Mapping[str, object]) -> None:
        """Append one row."""
        self.rows.append(dict(row))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
