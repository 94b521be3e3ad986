"""Stands behind the addresses of simulated pods and answers /metrics there, as vLLM's leaders would."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support import deployments as infd
from support.cluster import ControlPlane

PORT = 8000


class Leaders:
    """All ready leaders of one deployment share a load evenly, some of it waiting; None = they close connections."""

    def __init__(self, cluster: ControlPlane, namespace: str, name: str) -> None:
        self.requests_in_hand: int | None = 0
        self.waiting = 0
        self.asked = 0
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self._ready = 1
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Leaders":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def _follow(self) -> None:
        """New pods get a server at their address."""
        while not self._stop.wait(0.3):
            try:
                pods = infd.pods(self._cluster, self._namespace, self._name).values()
                status = infd.get(self._cluster, self._namespace, self._name)["status"]
            except (AssertionError, KeyError):
                continue
            self._ready = status.get("readyReplicas") or 1
            for address in {pod["status"].get("podIP") for pod in pods} - {None, *self._servers}:
                server = ThreadingHTTPServer((address, PORT), _handler(self))
                self._servers[address] = server
                threading.Thread(target=server.serve_forever, daemon=True).start()

    def page(self) -> bytes | None:
        self.asked += 1
        in_hand = self.requests_in_hand
        if in_hand is None:
            return None
        waiting = self.waiting / self._ready
        figures = {"vllm:num_requests_running": in_hand / self._ready - waiting, "vllm:num_requests_waiting": waiting}
        return "".join(f'{name}{{engine="0"}} {value}\n' for name, value in figures.items()).encode()


def _handler(leaders: Leaders) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = leaders.page()
            if body is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
