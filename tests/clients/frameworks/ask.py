"""Asks a service with LiteLLM, LangChain, LlamaIndex and Haystack, which have an environment of their own.

For each line `{"call", "url", "arguments"}` it prints `{"answer"}` or `{"error"}`, as JSON; a stream's answer is the
list of its texts. The packages are imported when a call needs them.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Messages = list[dict[str, str]]

os.environ |= {
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "0",  # offline, Hugging Face's client asks no service either
    "HF_TOKEN": "none",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def litellm_completion(url: str, model: str, messages: Messages, **options: Any) -> Any:
    import litellm

    told = litellm.completion(model, messages, api_base=url, api_key="none", **options)
    if not options.get("stream"):
        return {"text": told.choices[0].message.content, "prompt_tokens": told.usage.prompt_tokens}
    return [piece.choices[0].delta.content or "" for piece in told if piece.choices]


def litellm_picture(url: str, model: str, picture: str, question: str, **options: Any) -> Any:
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": question}, image]}]
    return litellm_completion(url, model, messages, **options)["text"]


def litellm_text_completion(url: str, model: str, prompt: str, **options: Any) -> Any:
    import litellm

    return litellm.text_completion(prompt, model, api_base=url, api_key="none", **options).choices[0].text


def litellm_embedding(url: str, model: str, texts: list[str], **options: Any) -> Any:
    import litellm

    told = litellm.embedding(model, texts, api_base=url, api_key="none", **options)
    return [each["embedding"] for each in told.data]


def litellm_rerank(url: str, model: str, query: str, documents: list[Any], **options: Any) -> Any:
    import litellm

    told = litellm.rerank(model, query, documents, api_base=url, api_key="none", **options)
    return [[each["index"], each["relevance_score"]] for each in told.results]


def litellm_transcription(url: str, model: str, file: str) -> Any:
    import litellm

    with open(file, "rb") as recording:
        return litellm.transcription(model, recording, api_base=url, api_key="none").text


def litellm_error(url: str, model: str, messages: Messages, **options: Any) -> Any:
    """The class of the error, by which callers and LiteLLM's own fallbacks decide."""
    import litellm

    try:
        litellm.completion(model, messages, api_base=url, api_key="none", num_retries=0, **options)
    except Exception as error:
        return type(error).__name__
    return None


def langchain_endpoint(url: str, prompt: str, stream: bool = False, **options: Any) -> Any:
    from langchain_huggingface import HuggingFaceEndpoint

    model = HuggingFaceEndpoint(endpoint_url=url, huggingfacehub_api_token="none", task="text-generation", **options)
    return list(model.stream(prompt)) if stream else model.invoke(prompt)


def langchain_chat(url: str, messages: Messages, **options: Any) -> Any:
    from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint

    model = HuggingFaceEndpoint(endpoint_url=url, huggingfacehub_api_token="none", task="text-generation", **options)
    chat = ChatHuggingFace(llm=model, model_id="org/llama", tokenizer=object())
    return chat.invoke([(each["role"], each["content"]) for each in messages]).content


def langchain_inference_api_embeddings(url: str, texts: list[str]) -> Any:
    from langchain_community.embeddings import HuggingFaceInferenceAPIEmbeddings

    return HuggingFaceInferenceAPIEmbeddings(api_key="none", api_url=url).embed_documents(texts)


def llama_index_chat(url: str, model: str, messages: Messages, stream: bool = False, **options: Any) -> Any:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(model=model, api_base=url, api_key="none", is_chat_model=True, max_retries=0, **options)
    chat = [ChatMessage(**message) for message in messages]
    return [piece.delta for piece in llm.stream_chat(chat)] if stream else llm.chat(chat).message.content


def llama_index_picture(url: str, model: str, picture: str, question: str, **options: Any) -> Any:
    from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
    from llama_index.llms.openai_like import OpenAILike

    blocks = [TextBlock(text=question), ImageBlock(image=picture.encode(), image_mimetype="image/jpeg")]
    llm = OpenAILike(model=model, api_base=url, api_key="none", is_chat_model=True, max_retries=0, **options)
    return llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content


def llama_index_complete(url: str, model: str, prompt: str, **options: Any) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(model=model, api_base=url, api_key="none", max_retries=0, **options).complete(prompt).text


def llama_index_embeddings(url: str, model: str, texts: list[str]) -> Any:
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    return OpenAILikeEmbedding(model_name=model, api_base=url, api_key="none").get_text_embedding_batch(texts)


def llama_index_tei(url: str, model: str, texts: list[str]) -> Any:
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    embedder = TextEmbeddingsInference(model_name=model, base_url=url, text_instruction=" ", query_instruction=" ")
    return embedder.get_text_embedding_batch(texts)


def haystack_chat(url: str, model: str, messages: Messages, stream: bool = False, **options: Any) -> Any:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.utils import Secret

    pieces: list[str] = []
    told = OpenAIChatGenerator(
        model=model,
        api_base_url=url,
        api_key=Secret.from_token("none"),
        generation_kwargs=options,
        streaming_callback=(lambda chunk: pieces.append(chunk.content)) if stream else None,
    ).run(_haystack_messages(messages))
    return pieces if stream else told["replies"][0].text


def haystack_picture(url: str, model: str, picture: str, question: str, **options: Any) -> Any:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage, ImageContent
    from haystack.utils import Secret

    image = ImageContent(base64_image=picture, mime_type="image/jpeg")
    key = Secret.from_token("none")
    generator = OpenAIChatGenerator(model=model, api_base_url=url, api_key=key, generation_kwargs=options)
    return generator.run([ChatMessage.from_user(content_parts=[question, image])])["replies"][0].text


def haystack_embeddings(url: str, model: str, texts: list[str]) -> Any:
    from haystack import Document
    from haystack.components.embedders import OpenAIDocumentEmbedder
    from haystack.utils import Secret

    key = Secret.from_token("none")
    embedder = OpenAIDocumentEmbedder(model=model, api_base_url=url, api_key=key, progress_bar=False)
    return [each.embedding for each in embedder.run([Document(content=text) for text in texts])["documents"]]


def _haystack_messages(messages: Messages) -> Any:
    from haystack.dataclasses import ChatMessage

    made: dict[str, Callable[[str], Any]] = {"system": ChatMessage.from_system, "user": ChatMessage.from_user}
    return [made[message["role"]](message["content"]) for message in messages]


def main() -> None:
    """Answer line by line; what the packages print goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told = {"answer": globals()[asked["call"]](asked["url"], **asked["arguments"])}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
