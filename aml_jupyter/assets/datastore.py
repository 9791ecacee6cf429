"""Datastore: a named place for data, which is a folder of the workspace unless said otherwise."""

from __future__ import annotations

import os
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException

from . import stores
from .files import copy_whole, files_below, path_within
from .place import root_of
from .reference import DataReference, fresh_name
from .stores import StoreRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Sequence


class Datastore:
    """A place for data under a name; ``Datastore(ws, name)`` is the one that is registered.

    Its files lie in the workspace, below ``.aml/datastores/<name>``. What SDK v1 registers as a
    container of Azure's is such a folder as well: nothing here leaves the machine.
    ``Datastore.register_folder`` names a folder or an address of your own instead.
    """

    def __init__(self, workspace: Any, name: str | None = None) -> None:
        self._root = root_of(workspace)
        self._workspace = workspace
        self._record = stores.store(self._root, name or stores.default_name(self._root))

    # Finding

    @staticmethod
    def get(workspace: Any, datastore_name: str) -> Datastore:
        """The datastore of that name."""
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Any) -> Datastore:
        """The default datastore: ``workspaceblobstore`` unless another was set."""
        return Datastore(workspace)

    @staticmethod
    def all(workspace: Any) -> dict[str, Datastore]:
        """All datastores by name."""
        return {name: Datastore(workspace, name) for name in stores.stores(root_of(workspace))}

    # What it is

    @property
    def name(self) -> str:
        """The name."""
        return self._record.name

    @property
    def workspace(self) -> Any:
        """The workspace it was asked of."""
        return self._workspace

    @property
    def workspace_root(self) -> str:
        """The ``.aml`` folder of that workspace."""
        return self._root

    @property
    def datastore_type(self) -> str:
        """v1's word for the kind: ``AzureBlob``, ``AzureFile``, …"""
        return self._record.kind

    @property
    def account_name(self) -> str:
        """What was given when it was registered; ``local`` for those of every workspace."""
        return self._record.account

    @property
    def container_name(self) -> str:
        """What was given when it was registered; else the name."""
        return self._record.container

    @property
    def account_key(self) -> None:
        """None: there is no account."""
        return None

    @property
    def sas_token(self) -> None:
        """None: there is no account."""
        return None

    @property
    def protocol(self) -> str:
        """How its files are reached: ``file``, or the protocol of its address."""
        return self.root.partition("://")[0] if "://" in self.root else "file"

    @property
    def is_sas(self) -> bool:
        """False: there is nothing that would need a signature."""
        return False

    @property
    def root(self) -> str:
        """The folder, or the address, that its files are below."""
        return self._record.where(self._root)

    def set_as_default(self) -> None:
        """Let this be the workspace's default datastore."""
        stores.set_default(self._root, self.name)

    def unregister(self) -> None:
        """Forget the datastore; its files stay where they are."""
        stores.unregister(self._root, self.name)

    # Data in and out

    def upload(
        self,
        src_dir: str | os.PathLike[str],
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Copy all files of a folder to ``target_path`` in the datastore."""
        folder = os.path.expanduser(os.fspath(src_dir))
        if not os.path.isdir(folder):
            raise UserErrorException(
                f"There is no folder {folder}.", "upload_files([…]) takes single files."
            )
        files = [(path, name) for name, path in self.files_to_upload(folder)]
        return self._put(files, target_path, overwrite, show_progress)

    def files_to_upload(self, folder: str) -> list[tuple[str, str]]:
        """(name, path) of the files in a folder, without the workspace and this datastore."""
        own = (os.path.realpath(self._root), os.path.realpath(self.root))
        return list(files_below(folder, without=own))

    def upload_files(
        self,
        files: Sequence[str | os.PathLike[str]],
        relative_root: str | os.PathLike[str] | None = None,
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Copy files to ``target_path``, with their paths below ``relative_root``.

        That is the folder they have in common if not said.
        """
        if isinstance(files, (str, os.PathLike)):
            raise UserErrorException(
                f"upload_files() takes a list of files, not {files!r}.",
                f"For example upload_files([{os.fspath(files)!r}]).",
            )
        paths = [os.path.abspath(os.path.expanduser(os.fspath(file))) for file in files]
        for path in paths:
            if not os.path.isfile(path):
                raise UserErrorException(f"There is no file {path}.", "Check the path.")
        base = os.path.abspath(os.fspath(relative_root)) if relative_root else _common(paths)
        named = [(path, os.path.relpath(path, base)) for path in paths]
        for path, name in named:
            if name.startswith(".."):
                raise UserErrorException(
                    f"{path} does not lie in {base}.", "Choose a relative_root above all files."
                )
        return self._put(named, target_path, overwrite, show_progress)

    def download(
        self,
        target_path: str | os.PathLike[str],
        prefix: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> int:
        """Copy all files below ``prefix`` to a folder, with their paths; returns how many."""
        start = path_within(prefix)
        moves = [
            _Move(name, path, os.path.join(os.fspath(target_path), name))
            for name, path in self._files(start)
            if not start or name == start or name.startswith(start)
        ]
        is_there = None if overwrite else os.path.exists
        return _moved("download", moves, is_there, copy_whole, show_progress)

    def _files(self, start: str) -> list[tuple[str, str]]:
        """(name, path) of the files that may be below ``start``."""
        from .resolve import files_of_store

        return files_of_store(self._root, self._record, os.path.dirname(start))

    def _put(
        self,
        files: Sequence[tuple[str, str]],
        target_path: str | None,
        overwrite: bool,
        show_progress: bool,
    ) -> DataReference:
        target = path_within(target_path)
        moves = [
            _Move(path, path, "/".join(part for part in (target, path_within(name)) if part))
            for path, name in files
        ]
        _moved("upload", moves, None if overwrite else self._has, self._store, show_progress)
        return self.path(target or None)

    def _has(self, name: str) -> bool:
        if "://" in self.root:
            from .addresses import exists

            return exists(f"{self.root.rstrip('/')}/{name}")
        return os.path.exists(os.path.join(self.root, name))

    def _store(self, path: str, name: str) -> None:
        if "://" in self.root:
            from .addresses import put

            put(path, f"{self.root.rstrip('/')}/{name}")
        else:
            copy_whole(path, os.path.join(self.root, name))

    # References

    def path(
        self, path: str | None = None, data_reference_name: str | None = None
    ) -> DataReference:
        """A path in the datastore, for datasets and for the arguments of runs."""
        name = data_reference_name or (fresh_name() if path else self.name)
        return DataReference(self, name, path)

    def as_mount(self) -> DataReference:
        """All of the datastore, mounted in a run."""
        return DataReference(self)

    def as_download(self, path_on_compute: str | None = None) -> DataReference:
        """All of the datastore, copied into a run."""
        return DataReference(self, mode="download", path_on_compute=path_on_compute)

    def as_upload(self, path_on_compute: str | None = None) -> DataReference:
        """The datastore, filled by a run."""
        return DataReference(self, mode="upload", path_on_compute=path_on_compute)

    # Registering

    @staticmethod
    def register_folder(
        workspace: Any,
        datastore_name: str,
        place: str | os.PathLike[str],
        overwrite: bool = False,
    ) -> Datastore:
        """Name a folder of this machine, or an address such as ``s3://bucket/path``."""
        where = os.fspath(place)
        if where.startswith("file://"):
            where = where[len("file://") :]
        if "://" not in where:
            where = os.path.abspath(os.path.expanduser(where))
            if not os.path.isdir(where):
                raise UserErrorException(
                    f"There is no folder {where}.",
                    "Make it first; or give an address such as s3://bucket/path.",
                )
        record = StoreRecord(datastore_name, "Folder", "local", os.path.basename(where), where)
        return _registered(workspace, record, overwrite)

    @staticmethod
    def register_azure_blob_container(
        workspace: Any,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        blob_cache_timeout: int | None = None,
        grant_workspace_access: bool = False,
        subscription_id: str | None = None,
        resource_group: str | None = None,
    ) -> Datastore:
        """Name a folder of the workspace after a container; what Azure has in it is not fetched."""
        record = StoreRecord(datastore_name, stores.BLOB, account_name, container_name)
        return _stand_in(workspace, record)

    @staticmethod
    def register_azure_file_share(
        workspace: Any,
        datastore_name: str,
        file_share_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
    ) -> Datastore:
        """Name a folder of the workspace after a file share; what Azure has is not fetched."""
        record = StoreRecord(datastore_name, stores.FILES, account_name, file_share_name)
        return _stand_in(workspace, record)

    @staticmethod
    def register_azure_data_lake(
        workspace: Any, datastore_name: str, store_name: str, **account: Any
    ) -> Datastore:
        """Name a folder of the workspace after a data lake; what Azure has is not fetched."""
        return _stand_in(workspace, StoreRecord(datastore_name, "AzureDataLake", store_name))

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Any, datastore_name: str, filesystem: str, account_name: str, **account: Any
    ) -> Datastore:
        """Name a folder of the workspace after a data lake; what Azure has is not fetched."""
        record = StoreRecord(datastore_name, "AzureDataLakeGen2", account_name, filesystem)
        return _stand_in(workspace, record)

    @staticmethod
    def register_dbfs(workspace: Any, datastore_name: str) -> Datastore:
        """Name a folder of the workspace; what Databricks has is not fetched."""
        return _stand_in(workspace, StoreRecord(datastore_name, "DBFS"))

    @staticmethod
    def register_azure_sql_database(*args: Any, **kwargs: Any) -> Datastore:
        """Raise: a database is no folder."""
        raise _no_database("Azure SQL")

    @staticmethod
    def register_azure_postgre_sql(*args: Any, **kwargs: Any) -> Datastore:
        """Raise: a database is no folder."""
        raise _no_database("PostgreSQL")

    @staticmethod
    def register_azure_my_sql(*args: Any, **kwargs: Any) -> Datastore:
        """Raise: a database is no folder."""
        raise _no_database("MySQL")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Datastore) and (self._root, self.name) == (other._root, other.name)

    def __hash__(self) -> int:
        return hash((self._root, self.name))

    def __repr__(self) -> str:
        return f"Datastore(name={self.name!r}, datastore_type={self.datastore_type!r})"


AzureBlobDatastore = AzureFileDatastore = Datastore
"""v1's names for the kinds of datastores, which are one class here."""


def _registered(workspace: Any, record: StoreRecord, overwrite: bool) -> Datastore:
    root = root_of(workspace)
    known = stores.stores(root).get(record.name)
    if known is not None and known.where(root) != record.where(root) and not overwrite:
        raise UserErrorException(
            f"There is a datastore named {record.name} already, at {known.where(root)}.",
            "Give another name, or overwrite=True.",
        )
    stores.register(root, record)
    return Datastore(workspace, record.name)


def _stand_in(workspace: Any, record: StoreRecord) -> Datastore:
    """The folder that stands for storage of Azure's; it is said that it does."""
    known = stores.stores(root_of(workspace)).get(record.name)
    # Who pointed the name at data of their own before means just that by it.
    if known is not None and known.place:
        return Datastore(workspace, record.name)
    found = _registered(workspace, record, overwrite=True)
    if not os.listdir(found.root):
        print(
            f"Datastore {found.name} is the folder {found.root} here; nothing is fetched from"
            f" Azure. Put the data there, or name a place with Datastore.register_folder."
        )
    return found


def _no_database(kind: str) -> UserErrorException:
    return UserErrorException(
        f"A datastore that is a {kind} database does not exist here: datastores are folders.",
        "Read the table with pandas.read_sql(…) and keep it with"
        " Dataset.Tabular.register_pandas_dataframe(…).",
    )


class _Move(NamedTuple):
    """A file that is to be copied, under the name that people are shown."""

    shown: str
    source: str
    target: str


def _moved(
    what: str,
    moves: Sequence[_Move],
    is_there: Callable[[str], bool] | None,
    move: Callable[[str, str], None],
    show_progress: bool,
) -> int:
    """Copy one file after the other, and say so as v1 does; how many were not there before."""
    say = print if show_progress else _silent
    doing, did = f"{what.capitalize()}ing", f"{what.capitalize()}ed"
    say(f"{doing} an estimated of {len(moves)} files")
    done = 0
    for shown, source, target in moves:
        if is_there is not None and is_there(target):
            say(f"Target already exists. Skipping {what} for {target}")
            continue
        say(f"{doing} {shown}")
        move(source, target)
        done += 1
        say(f"{did} {shown}, {done} files out of an estimated total of {len(moves)}")
    say(f"{did} {done} files")
    return done


def _common(paths: Sequence[str]) -> str:
    """The folder that all the files lie in."""
    return os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else os.curdir


def _silent(*words: Iterable[str]) -> None:
    """Say nothing."""
