"""OpenAI's client, with the embedded models: an embedding, a completion and a transcription.

make serve                                        # in another terminal
.venv/bin/python examples/openai_client.py [URL]
"""

import sys
from pathlib import Path

from openai import OpenAI

RECORDING = Path(__file__).parent / "media/speech.ogg"


def main(url: str = "http://127.0.0.1:8000") -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key="none")

    embeddings = client.embeddings.create(model="minilm", input=["A man plays a guitar.", "Somebody makes music."])
    one, other = (item.embedding for item in embeddings.data)
    print(f"similarity: {sum(a * b for a, b in zip(one, other, strict=True)):.2f}")

    completion = client.completions.create(model="pronunciation", prompt="photograph", temperature=0)
    print(f"pronunciation: {completion.choices[0].text}")

    with RECORDING.open("rb") as file:
        transcription = client.audio.transcriptions.create(model="whisper-tiny-en", file=file)
    print(f"transcription: {transcription.text.strip()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
