"""The server: tools handed to the official SDK, a user's mistake told as one. Imports mcp."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, LibraryError
from inspector.mcp.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable


def make_server() -> Any:
    """The server with every tool. Raises LibraryError when the SDK is not installed."""
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError:
        raise LibraryError("the server needs the package mcp", hint="pip install 'llm-inspector[mcp]'") from None

    def told(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """The tool with what a user can mend as the SDK's own error, which the assistant reads."""

        @functools.wraps(tool)
        def answer(**arguments: Any) -> dict[str, Any]:
            try:
                return tool(**arguments)
            except (InspectorError, TypeError) as error:
                # A setting that there is not is a TypeError or an error of ours; a fault elsewhere is the SDK's to log.
                if isinstance(error, TypeError) and "unexpected keyword" not in str(error):
                    raise
                raise ToolError(str(error)) from error

        return answer

    server = MCPServer("inspector", instructions=INSTRUCTIONS)
    for tool in TOOLS:
        server.tool()(told(tool))
    return server


def main() -> None:
    """Serve on standard input and output until the assistant closes them: the script ``inspector-mcp``."""
    import sys

    try:
        make_server().run()
    except InspectorError as error:
        sys.exit(f"inspector-mcp: {error}")


INSTRUCTIONS = (
    "The truth about the memory of a language model, before anyone pays for a GPU. Keys that end in _bytes are "
    "integers in bytes; a model is a bundled name, a hub id, a folder or a file. Nothing but configs and "
    "headers is downloaded."
)
