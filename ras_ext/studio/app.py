"""Starts the studio: the page behind its door, on one port, until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from ras_ext.errors import InputError, MissingExtraError
from ras_ext.studio.door import Door
from ras_ext.studio.uploads import MOST_BYTES

if TYPE_CHECKING:
    from ras_ext.studio.studio import Studio

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
LEAST_PASSWORD = 8


def need_gradio() -> None:
    """Raises MissingExtraError unless Gradio is installed."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"the studio needs Gradio, which cannot be imported ({error}); pip install 'ras-ext[studio]'"
        ) from None


def check_door(host: str, password: str | None) -> None:
    """Raises InputError where others could come in without a password."""
    if password is not None and len(password) < LEAST_PASSWORD:
        raise InputError(f"the password has {len(password)} characters; give at least {LEAST_PASSWORD}")
    if not is_loopback(host) and password is None:
        raise InputError(
            f"on {host} others can reach the studio and it has no password; set RAS_EXT_STUDIO_PASSWORD or give "
            "--password-file, or leave --host out to serve this machine only"
        )


def check_certificate(certificate: str | None, key: str | None) -> None:
    """Raises InputError where https could not be served with these files."""
    if certificate is None:
        if key is not None:
            raise InputError(f"the key {key} is of no use without its certificate; give --certificate too")
        return
    for file in filter(None, (certificate, key)):
        if not os.path.isfile(file):
            raise InputError(f"there is no file {file}; give --certificate and --key as PEM files")
    try:
        # An empty password: OpenSSL would ask the terminal for that of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(
            f"https cannot be served with {certificate} ({error}); give a PEM certificate and its private key, "
            "without a passphrase"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    studio: Studio,
    *,
    host: str,
    port: int,
    password: str | None = None,
    announce: Callable[[str], None],
    certificate: str | None = None,
    key: str | None = None,
) -> None:
    """Serves the page until it is stopped; `announce` is told its address once it answers.

    Raises:
        InputError: the port is taken, or the address is not of this machine.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ["GRADIO_TEMP_DIR"] = str(studio.uploads.arriving)  # read when Gradio is first asked for its cache
    import uvicorn

    listening = _listen(host, port)
    scheme, called = "https" if certificate else "http", f"[{host}]" if ":" in host else host
    address = f"{scheme}://{called}:{listening.getsockname()[1]}"
    hosts = (*LOOPBACK, called.lower()) if is_loopback(host) else None
    settings = uvicorn.Config(
        Door(application(studio), password=password, hosts=hosts, uploads=studio.uploads),
        log_level="warning",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=2,
        ws="none",
        server_header=False,
    )
    server = _telling(settings, lambda: announce(address))
    # The server shuts down and then hands the signal on, by which the process would end before uploads are deleted.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)
        studio.uploads.close()


def application(studio: Studio) -> Any:
    """The page as an ASGI application, without its door."""
    import gradio as gr
    from fastapi import FastAPI

    from ras_ext.studio.page import build
    from ras_ext.studio.style import css, theme

    return gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        build(studio),
        path="/",
        theme=theme(),
        head=f"<style>{css()}</style>",  # as `css` it would be put below Gradio's own blocks only
        footer_links=[],
        max_file_size=MOST_BYTES,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(f"{host}:{port} cannot be listened on ({error}); give another --port or --host") from None
    return listening


def _telling(settings: Any, ready: Callable[[], None]) -> Any:
    """uvicorn's server, which says when it answers."""
    import uvicorn

    class Telling(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                ready()

        async def shutdown(self, sockets: Any = None) -> None:
            # Open pages listen on; that they are let go is no error to tell of.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets=sockets)

    return Telling(settings)
