"""``python -m hub FOLDER [--port N]``: serves until killed; prints ``{"url": …}`` when it listens."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hub.server import serve

parser = argparse.ArgumentParser(prog="hub")
parser.add_argument("folder", type=Path)
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()
server = serve(options.folder, options.port)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
server.serve_forever()
