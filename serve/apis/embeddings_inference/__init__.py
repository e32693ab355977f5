"""Text Embeddings Inference's API, and the rerank of Cohere and Jina.

TEI serves one model; here each route asks the first model of its task, or the one that `model` names.
"""
