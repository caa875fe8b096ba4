"""Takes out of a Debian root what no container of Pilotage runs; read by base.sh into that root's own Python.

A package goes with its files and its entry, so that the inventory that scanners read stays true. Nothing that
Python, OpenSSL or the C library loads is touched. What the components image needs stays: `sh`, `mktemp` and
`printf`, with which Kubeflow Pipelines starts a step, and `bash`, with which KubeRay starts Ray; harden.py
takes `bash` out of the others.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import stat
import sys
from pathlib import Path

UNUSED = (
    # installing packages, for which there is no use in an image
    "apt", "debconf", "dpkg", "perl-base", "tar", "init-system-helpers", "sqv", "debian-archive-keyring",
    # users who log in, disks and terminals
    "bsdutils", "login", "login.defs", "mount", "passwd", "util-linux", "libpam-modules",
    "libpam-modules-bin", "libpam-runtime", "libpam0g", "ncurses-bin", "ncurses-base", "sysvinit-utils",
    # commands that nothing here calls
    "ca-certificates-java", "diffutils", "findutils", "grep", "gzip", "hostname", "mawk", "openssl", "sed",
    "openssl-provider-legacy", "media-types",
)  # fmt: skip
INFO = Path("/var/lib/dpkg/info")
STATUS = Path("/var/lib/dpkg/status")
EMPTIED = (
    "/var/cache",
    "/var/log",
    "/var/lib/apt",
    "/var/lib/systemd",
    "/var/lib/pam",
    "/usr/share/pam-configs",
)

NEVER_LOADED = (
    "usr/lib/*-linux-gnu/gconv",  # character sets for the C library's iconv, which Python does not ask
    "usr/lib/python3*/test",
    "usr/lib/python3*/pydoc_data",
    "usr/lib/python3*/idlelib",
    "usr/lib/python3*/ensurepip",
)


def main() -> None:
    """Trim the root that this runs in."""
    stanzas = {name(text): text for text in STATUS.read_text().strip().split("\n\n")}
    going = [package for package in UNUSED if package in stanzas]
    kept = {path for package in stanzas if package not in going for path in files(package)}
    for package in going:
        remove(path for path in files(package) if path not in kept)
        for path in [*INFO.glob(f"{package}.*"), *INFO.glob(f"{package}:*.*")]:
            path.unlink()
        del stanzas[package]
    STATUS.write_text("\n\n".join(stanzas.values()) + "\n")
    for folder in EMPTIED:
        for path in Path(folder).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in Path("/var/lib/dpkg").glob("*-old"):
        path.unlink()
    for folder in NEVER_LOADED:
        for path in Path("/").glob(folder):
            shutil.rmtree(path)
    without_setuid()
    compile_library()


def name(stanza: str) -> str:
    """The package that an entry of dpkg's status is about."""
    found = re.search(r"^Package: (\S+)$", stanza, re.MULTILINE)
    assert found, stanza[:80]  # noqa: S101 - dpkg writes it
    return found[1]


def files(package: str) -> list[str]:
    """Where a package's files really are, folders included."""
    lists = [*INFO.glob(f"{package}.list"), *INFO.glob(f"{package}:*.list")]
    paths = [path for file in lists for path in file.read_text().splitlines() if path != "/."]
    return [str(Path(path).parent.resolve() / Path(path).name) for path in paths]


def remove(paths: object) -> None:
    """Remove files, and the folders that are empty then."""
    for text in sorted(paths, reverse=True):  # type: ignore[call-overload]
        path = Path(text)
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def without_setuid() -> None:
    """Nothing runs as somebody else."""
    for folder, _, names in os.walk("/usr"):
        for path in (Path(folder) / one for one in names):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))


def compile_library() -> None:
    """Bytecode that holds whatever times the files get: an image's builder may change them."""
    library = f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}"
    for folder, _, _ in os.walk(library):
        if Path(folder).name == "__pycache__":
            shutil.rmtree(folder)
    compileall.compile_dir(library, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


main()
