"""Real repositories and real servers: git daemon, git http-backend, and ones that never answer."""

import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCAL = frozenset({"https", "ssh", "http", "git", "file"})
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
}


def git(directory: Path, *words: str, stdin: bytes = b"") -> str:
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words]
    done = subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


class Upstream:
    """What the team pushes to, and a clone to push from."""

    def __init__(self, directory: Path) -> None:
        self.bare = directory / "upstream.git"
        self.work = directory / "work"
        self.bare.mkdir()
        self.work.mkdir()
        git(self.bare, "init", "--quiet", "--bare")
        git(self.work, "init", "--quiet")
        git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *words: str, stdin: bytes = b"") -> str:
        return git(self.work, *words, stdin=stdin)

    def commit(
        self, files: Mapping[str, str | bytes | None], message: str = "change", branch: str = "main"
    ) -> str:
        """Write files (None deletes), commit and push; the commit's id."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.push(branch)
        return self.git("rev-parse", "HEAD")

    def push(self, branch: str = "main", *options: str) -> None:
        self.git("push", "--quiet", *options, "origin", f"HEAD:refs/heads/{branch}")


class Listener:
    """Accepts on a port of its own and gives every connection to a function, in a thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self._open: list[socket.socket] = []
        self.port = self._socket.getsockname()[1]
        self.accepted = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                self.accepted.set()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()


class WebServer:
    """`git http-backend` behind HTTP, for whoever knows the password; remembers the headers it was sent."""

    def __init__(
        self, root: Path, password: str = "", redirect_to: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.seen: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append(self.headers["Authorization"])
                expected = f"Basic {base64.b64encode(f'git:{password}'.encode()).decode()}"
                if redirect_to:
                    self.send_response(302)
                    self.send_header("Location", redirect_to + self.path)
                    self.end_headers()
                elif password and self.headers["Authorization"] not in {expected, f"Bearer {password}"}:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic")
                    self.end_headers()
                else:
                    self._backend()

            do_POST = do_GET  # noqa: N815 -- named by http.server

            def _backend(self) -> None:
                path, _, query = self.path.partition("?")
                variables = {
                    **ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REMOTE_USER": "git",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                }
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                done = subprocess.run(
                    ["git", "http-backend"], env=variables, input=body, capture_output=True, check=True
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http{'s' if tls else ''}://127.0.0.1:{self._http.server_port}"
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
