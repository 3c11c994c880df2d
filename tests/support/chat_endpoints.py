"""A chat endpoint on this machine, which answers as OpenAI's API does, or as one that fails."""

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server says to a request."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def saying(
        cls, text: Any, finish: str = "stop", *, used: tuple[int, int] | None = None, **besides: Any
    ) -> "Answer":
        """A text, with what else is in the message, and tokens of prompt and completion."""
        message = {"role": "assistant", "content": text, **besides}
        body: dict[str, Any] = {
            "choices": [{"index": 0, "message": message, "finish_reason": finish}]
        }
        if used is not None:
            prompt, completion = used
            body["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
        return cls(body)

    @classmethod
    def calling(cls, *calls: tuple[Any, Any], text: str | None = None) -> "Answer":
        """Tool calls: names, and arguments as the model wrote them."""
        made = [
            {
                "id": f"call_{k}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for k, (name, arguments) in enumerate(calls)
        ]
        return cls.saying(text, "tool_calls", tool_calls=made)


@dataclass(frozen=True)
class Endpoint:
    """A server, and what it was asked: path, headers (lower case) and body of each request."""

    url: str
    requests: list[tuple[str, Mapping[str, str], Any]]


def _by_name(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@contextmanager
def chat_endpoint(reply: Callable[[Any], Answer]) -> Generator[Endpoint]:
    """Run a server for the length of a block; `reply` says what it answers to a body."""
    requests: list[tuple[str, Mapping[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.path, _by_name(self.headers), body))
            answer = reply(body)
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
