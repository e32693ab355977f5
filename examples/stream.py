"""A stream of tokens over HTTP: server-sent events in the format of Hugging Face's TGI.

make serve                                 # in another terminal
.venv/bin/python examples/stream.py [URL]
"""

import json
import sys

import httpx


def main(url: str = "http://127.0.0.1:8000") -> None:
    request = {"inputs": "fish:", "stream": True, "parameters": {"max_new_tokens": 12, "do_sample": False}}
    with httpx.stream("POST", f"{url}/tasks/text-generation", json=request, timeout=60) as response:
        if response.is_error:
            response.read()
            raise SystemExit(response.json()["error"])
        for line in response.iter_lines():
            if not line:  # between two events
                continue
            event = json.loads(line.removeprefix("data:"))
            if "error" in event:  # after the first token, the status is already sent
                raise SystemExit(event["error"])
            print(event["token"]["text"], end="", flush=True)
    print(f"\n{event['details']['generated_tokens']} tokens, {response.headers['x-model']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
