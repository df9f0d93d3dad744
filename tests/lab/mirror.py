"""The package mirror of a lab, on the bridge: the repository over HTTP.

python -m tests.lab.mirror LAB FOLDER
"""

from __future__ import annotations

import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.cgroup import Group
from tests.lab.network import CONTROL, Network

PORT = 8080


def main(lab: str, folder: str) -> None:
    """Serve until killed with the lab; a line on standard output says that it does."""
    Group(f"{lab}/mirror").join()
    with Network(lab).inside():
        server = ThreadingHTTPServer((CONTROL, PORT), functools.partial(SimpleHTTPRequestHandler, directory=folder))
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
