"""Database servers of the tests' own, in a folder of their own, because these are restarted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.kit import free_port
from tests.servers import absent

PATIENCE = 60.0


class RestartedServer:
    """One server, on a port that it keeps.

    :param user: whom it runs as where the tests run as root, whom it refuses.
    """

    kind: str
    drivername: str
    admin: str

    def __init__(self, user: str) -> None:
        self.user = user if os.geteuid() == 0 else None
        self.port = free_port()
        # Not among pytest's folders: those are its own user's alone.
        self.folder = Path(tempfile.mkdtemp(prefix="partnerstack"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        if self.user is not None:
            shutil.chown(self.folder, self.user)

    def new_database(self, name: str) -> URL:
        """Return the URL of an empty database."""
        engine = create_engine(self._url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self._url().set(database=name)

    def _url(self) -> URL:
        return URL.create(
            self.drivername,
            username=self.admin,
            host="127.0.0.1",
            port=self.port,
            database=self.kind if self.kind == "postgres" else "mysql",
        )

    def start(self) -> None:
        """Make it, and start it."""
        raise NotImplementedError

    def restart(self, *, gently: bool) -> None:
        """Restart it: after it has ended every connection in order, or at once, with none told."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it, by its process id, and remove all that it wrote."""
        raise NotImplementedError

    def _run(self, *command: str) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                command,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=PATIENCE,
                check=False,
            )
        assert done.returncode == 0, self.log.read_text(errors="replace")


class RestartedPostgreSQL(RestartedServer):
    """A cluster."""

    kind, drivername, admin = "postgres", "postgresql+psycopg", "postgres"
    #: Where it listens from its next start on, beside a socket file in its folder.
    addresses = "127.0.0.1"

    def __init__(self) -> None:
        self._bin = _folder_of("initdb", sorted(Path("/usr/lib/postgresql").glob("*/bin")))
        super().__init__("postgres")

    def start(self) -> None:
        initdb = str(self._bin / "initdb")
        self._run(initdb, f"-D{self.data}", "-Atrust", f"-U{self.admin}", "--no-sync")
        self._control("start")

    def restart(self, *, gently: bool) -> None:
        self._control("restart", "-m", "fast" if gently else "immediate")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-m", "immediate")
        shutil.rmtree(self.folder)

    def _control(self, what: str, *more: str) -> None:
        # What a process wrote outlives it; the disk is not what is tried here.
        listens = f"-clisten_addresses={self.addresses} -p{self.port} -k{self.folder}"
        options = f"{listens} -cfsync=off"
        control = (str(self._bin / "pg_ctl"), f"-D{self.data}", "-w", f"-t{PATIENCE:.0f}")
        self._run(*control, f"-o{options}", f"-l{self.folder}/server.log", what, *more)


class RestartedMariaDB(RestartedServer):
    """A data folder and its process."""

    kind, drivername, admin = "mariadb", "mysql+pymysql", "root"

    def __init__(self) -> None:
        self._bin = _folder_of("mariadbd", [Path("/usr/sbin"), Path("/usr/bin")])
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__("mysql")

    def start(self) -> None:
        install = shutil.which("mariadb-install-db") or "mariadb-install-db"
        plain = ("--auth-root-authentication-method=normal", "--skip-test-db")
        self._run(install, "--no-defaults", f"--datadir={self.data}", *plain)
        self._begin()

    def restart(self, *, gently: bool) -> None:
        self._end(signal.SIGTERM if gently else signal.SIGKILL)
        self._begin()

    def stop(self) -> None:
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _begin(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.02)  # another process's doing: there is nothing to be woken by

    def _command(self) -> Sequence[str]:
        here = (f"--datadir={self.data}", f"--socket={self.folder}/socket")
        listens = ("--bind-address=127.0.0.1", f"--port={self.port}")
        small = ("--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M")
        return (str(self._bin / "mariadbd"), "--no-defaults", *here, *listens, *small)

    def _answers(self) -> bool:
        engine = create_engine(self._url())
        try:
            with engine.connect():
                return True
        except OperationalError:
            return False
        finally:
            engine.dispose()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)


def _folder_of(command: str, folders: Sequence[Path]) -> Path:
    """Return the newest folder that has a command; skip, or fail in CI, where none has."""
    on_path = shutil.which(command)
    found = [folder for folder in folders if (folder / command).exists()]
    if not found and on_path is None:
        absent(f"no command {command}, neither on the PATH nor in {', '.join(map(str, folders))}")
    return found[-1] if found else Path(str(on_path)).resolve().parent


#: By the name of the kind.
RESTARTED: dict[str, type[RestartedPostgreSQL] | type[RestartedMariaDB]] = {
    "postgresql": RestartedPostgreSQL,
    "mariadb": RestartedMariaDB,
}
