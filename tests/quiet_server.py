"""An HTTP server of the standard library that says nothing of a client that has gone."""

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """A traceback is parsed as it is printed, in a thread; CPython 3.11 fails where pytest parses at that moment."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
