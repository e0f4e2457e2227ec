"""The web server of the review page: one page, five addresses, this machine alone.

Nothing but the page itself is given without the token of this start, which only the
address printed in the terminal has, after the `#` that browsers never send. Requests that
name another host or come from another site are refused before that. No address has a path
of the data in it: pairs are places in the queue.
"""

import secrets
from typing import Any

from ncaudit.audit.review import ReviewSession
from ncaudit.errors import ConfigError
from ncaudit.report.html import content_policy, render_page

TOKEN_HEADER = "X-Ncaudit-Token"  # noqa: S105 - the name of a header
_POLICY = "img-src blob:; connect-src 'self'; frame-ancestors 'none'"
_MAX_BODY_BYTES = 4096
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def require_review_packages() -> None:
    """Check that the web framework is installed.

    Raises:
        ConfigError: If it is not.
    """
    try:
        import flask  # noqa: F401 - only looked for
        import waitress  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "the review page needs Flask and waitress, which are not installed",
            hint="Install them: pip install 'ncaudit[review]'",
        ) from error


def make_app(session: ReviewSession, token: str, port: int) -> Any:
    """Return the WSGI application.

    Args:
        session: What is reviewed.
        token: What every request but the one for the page must carry in `TOKEN_HEADER`.
        port: Where it is served; requests for another host and port are refused.
    """
    from flask import Flask, Response

    app = Flask("ncaudit", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    page = render_page("review", policy="img-src blob:; connect-src 'self'")
    _guard(app, token, port)
    _give(app, session)
    _take(app, session)

    @app.get("/")
    def show() -> Response:
        return Response(page, mimetype="text/html")

    return app


def _guard(app: Any, token: str, port: int) -> None:
    """Refuse requests that are not from our page, and tell browsers to keep it apart."""
    from flask import Response, abort, request

    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    @app.before_request  # type: ignore[untyped-decorator]
    def refuse_others() -> None:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        is_ours = host in hosts and origin in (None, f"http://{host}")
        is_ours &= request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        given = request.headers.get(TOKEN_HEADER, "")
        knows = secrets.compare_digest(given.encode(), token.encode())
        if not is_ours or not (knows or request.path == "/"):
            abort(403)

    @app.after_request  # type: ignore[untyped-decorator]
    def harden(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = content_policy("review", _POLICY)
        return response


def _give(app: Any, session: ReviewSession) -> None:
    from flask import Response, jsonify

    @app.get("/state")  # type: ignore[untyped-decorator]
    def state() -> Response:
        return jsonify(_shown(session, session.state()))

    @app.get("/picture/<int:at>")  # type: ignore[untyped-decorator]
    def picture(at: int) -> Response:
        found = session.picture(at)
        if found.problem:
            return Response(found.problem, status=422, mimetype="text/plain")
        return Response(found.webp, mimetype="image/webp")

    @app.errorhandler(IndexError)  # type: ignore[untyped-decorator]
    def unknown(error: IndexError) -> tuple[Response, int]:
        return jsonify({"error": str(error)}), 404


def _take(app: Any, session: ReviewSession) -> None:
    from flask import Response, jsonify, request

    @app.post("/verdict")  # type: ignore[untyped-decorator]
    def verdict() -> Response:
        said = _object(request.get_json())
        session.decide(_whole(said.get("at")), str(said.get("verdict")))
        return jsonify(_shown(session, session.state()))

    @app.post("/undo")  # type: ignore[untyped-decorator]
    def undo() -> Response:
        request.get_json()
        back = session.undo()
        return jsonify(_shown(session, session.state(), back))

    @app.errorhandler(ValueError)  # type: ignore[untyped-decorator]
    def wrong(error: ValueError) -> tuple[Response, int]:
        return jsonify({"error": str(error)}), 400

    @app.errorhandler(OSError)  # type: ignore[untyped-decorator]
    def unwritten(error: OSError) -> tuple[Response, int]:
        return jsonify({"error": f"not saved: {error.strerror}"}), 507


class ReviewServer:
    """A server bound to 127.0.0.1, ready to run.

    Args:
        session: What is reviewed.
        port: 0 for any free one.

    Raises:
        ConfigError: If the port is taken, or the framework is missing.
    """

    def __init__(self, session: ReviewSession, port: int) -> None:
        import socket

        from waitress.server import create_server

        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"port {port} cannot be used: {error.strerror}",
                hint="Choose another with --port, or leave it out.",
            ) from error
        self.port = int(listener.getsockname()[1])
        self.token = secrets.token_urlsafe(24)
        app = make_app(session, self.token, self.port)
        self._server = create_server(app, sockets=[listener], threads=4, ident=None)

    @property
    def url(self) -> str:
        """Address of the page, with the token after the `#`."""
        return f"http://127.0.0.1:{self.port}/#{self.token}"

    def run(self) -> None:
        """Serve until interrupted."""
        self._server.run()

    def close(self) -> None:
        """Stop and free the port."""
        self._server.close()


def _shown(
    session: ReviewSession, state: dict[str, Any], back: int | None = None
) -> dict[str, Any]:
    """Return the state with the pair to show: the one taken back, or the next."""
    at = state["next"] if back is None else back
    return state | {"pair": None if at is None else session.pair(at)}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - becomes a 400
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - becomes a 400
    return value
