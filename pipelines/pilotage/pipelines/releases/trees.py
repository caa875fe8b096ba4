"""One file in a git tree: read or put in place, everything else byte for byte as it was.

A symbolic link or a submodule on the way is never followed: it could lead out of the repository.
"""

from __future__ import annotations

import stat
from typing import Protocol

from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from pilotage.core import errors

MOST_BYTES = 1_000_000
"""Of a file that is read; larger ones are not fetched."""


class Store(Protocol):
    """Where objects are."""

    def __getitem__(self, sha: ObjectID, /) -> ShaFile: ...


def entry(store: Store, tree: ObjectID, path: str) -> tuple[int, ObjectID] | None:
    """Mode and object of the file at `path`; None when there is none.

    Raises:
        Conflict: a link, a submodule or a folder is in its place, or a file on the way to it.
    """
    *folders, name = path.encode().split(b"/")
    for folder in folders:
        found = _child(store, tree, folder)
        if found is None:
            return None
        if not stat.S_ISDIR(found[0]):
            raise _in_the_way(path, folder)
        tree = found[1]
    found = _child(store, tree, name)
    if found is not None and not stat.S_ISREG(found[0]):
        raise _in_the_way(path, name)
    return found


def read(store: Store, tree: ObjectID, path: str) -> bytes | None:
    """Content of the file at `path`; None when there is none.

    Raises:
        Conflict: see `entry`.
        DataError: it is too large.
    """
    found = entry(store, tree, path)
    if found is None:
        return None
    try:
        blob = store[found[1]]
    except KeyError as error:
        raise _too_large(path) from error
    data = blob.as_raw_string()
    if len(data) > MOST_BYTES:
        raise _too_large(path)
    return data


def replace(store: Store, tree: ObjectID | None, path: str, data: bytes) -> tuple[ObjectID, list[ShaFile]]:
    """The tree with `data` at `path`, and the objects that are new, what others hold before these.

    Raises:
        Conflict: see `entry`.
    """
    old = None if tree is None else entry(store, tree, path)
    blob = Blob.from_string(data)
    made: list[ShaFile] = [blob]
    mode = old[0] if old is not None else stat.S_IFREG | 0o644
    top = _rebuilt(store, tree, path.encode().split(b"/"), (mode, blob.id), made)
    return top, made


def _rebuilt(
    store: Store,
    tree: ObjectID | None,
    parts: list[bytes],
    leaf: tuple[int, ObjectID],
    made: list[ShaFile],
) -> ObjectID:
    """The tree with the leaf below it."""
    content = Tree()
    for item in () if tree is None else _tree(store, tree).iteritems():
        content.add(item.path, item.mode, item.sha)
    name, *rest = parts
    if rest:
        below = content[name][1] if name in content else None
        leaf = (stat.S_IFDIR, _rebuilt(store, below, rest, leaf, made))
    content.add(name, *leaf)
    made.append(content)
    return content.id


def folders(store: Store, tree: ObjectID, path: str) -> list[str]:
    """Names of the folders in the folder at `path`, sorted; none where there is no such folder."""
    for part in path.encode().split(b"/"):
        found = _child(store, tree, part)
        if found is None or not stat.S_ISDIR(found[0]):
            return []
        tree = found[1]
    items = _tree(store, tree).iteritems()
    return sorted(item.path.decode(errors="replace") for item in items if stat.S_ISDIR(item.mode))


def _child(store: Store, tree: ObjectID, name: bytes) -> tuple[int, ObjectID] | None:
    content = _tree(store, tree)
    if name not in content:
        return None
    mode, sha = content[name]
    return mode, sha


def _tree(store: Store, sha: ObjectID) -> Tree:
    found = store[sha]
    if not isinstance(found, Tree):
        raise errors.DataError(f"Git object {sha.decode()} is no tree: the repository is damaged.")
    return found


def _in_the_way(path: str, part: bytes) -> errors.Conflict:
    return errors.Conflict(
        f"`{path}` cannot be used: `{part.decode(errors='replace')}` in it is a link, a submodule or of"
        " another kind than expected.",
        remedy="Make it a plain folder or file in the repository; links are not followed.",
    )


def _too_large(path: str) -> errors.DataError:
    return errors.DataError(
        f"`{path}` is larger than {MOST_BYTES:,} bytes.", remedy="It is no values file; remove it."
    )
