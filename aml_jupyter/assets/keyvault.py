"""Keyvault: secrets of a workspace, in a file that only its owner may read.

They are not encrypted: who can read files as this user, such as any job, can read them.
"""

from __future__ import annotations

import json
import os

from aml_jupyter.errors import UserErrorException, near
from aml_jupyter.job.layout import full_disk, read_json

from .place import locked, root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping


class Keyvault:
    """Secrets by name, kept in the workspace's folder with mode 0600."""

    def __init__(self, workspace: Any) -> None:
        self._path = os.path.join(root_of(workspace), "secrets.json")

    def set_secret(self, name: str, value: str, content_type: Any = None) -> None:
        """Keep a secret."""
        self.set_secrets({name: value})

    def set_secrets(self, secrets_batch: Mapping[str, str]) -> None:
        """Keep several secrets."""
        for name, value in secrets_batch.items():
            if not isinstance(name, str) or not name or not isinstance(value, str):
                raise UserErrorException(
                    f"The secret {name!r} is not a text with a name.", "Give texts for both."
                )
        self._change(lambda known: {**known, **secrets_batch})

    def get_secret(self, name: str) -> str:
        """The secret of that name."""
        known = self._read()
        if name not in known:
            raise UserErrorException(
                f"There is no secret named {name!r} in this workspace.", near(str(name), known)
            )
        return known[name]

    def get_secrets(self, secrets: Iterable[str]) -> dict[str, str]:
        """Several secrets by name."""
        return {name: self.get_secret(name) for name in secrets}

    def list_secrets(self) -> list[dict[str, str]]:
        """The names of all secrets, without their values."""
        return [{"name": name} for name in sorted(self._read())]

    def delete_secret(self, name: str) -> None:
        """Forget a secret."""
        self.delete_secrets([name])

    def delete_secrets(self, secrets: Iterable[str]) -> None:
        """Forget several secrets."""
        gone = set(secrets)
        for name in gone:
            self.get_secret(name)
        self._change(lambda known: {name: known[name] for name in known if name not in gone})

    def _read(self) -> dict[str, str]:
        return read_json(self._path) or {}

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with locked(self._path + ".lock"):
            content = json.dumps(change(self._read()))
            aside = f"{self._path}.{os.urandom(3).hex()}.tmp"
            try:
                # Nobody else may read it, not even while it is being written.
                file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(file, "w", encoding="utf-8") as out:
                    out.write(content)
                os.replace(aside, self._path)
            except OSError as error:
                if os.path.exists(aside):
                    os.unlink(aside)
                raise full_disk(error, self._path) from error
