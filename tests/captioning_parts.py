"""What small models that write about pictures are made of."""

from pathlib import Path
from typing import Any

from tests.checkpoints import small_tokenizer

SIDE = 32
SQUARE = {"height": SIDE, "width": SIDE}
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
}


def token_ids(tokenizer: Any) -> dict[str, int]:
    """What a text model's configuration says of its vocabulary."""
    names = {"pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep"}
    return {"vocab_size": len(tokenizer)} | {key: getattr(tokenizer, f"{name}_token_id") for key, name in names.items()}


def tokenizer_with(folder: Path, *special: str, **named: str) -> Any:
    """A byte-level tokenizer that knows more special tokens; `named` ones are its attributes, too."""
    import transformers

    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    if not named:
        return tokenizer
    tokenizer.save_pretrained(folder)
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder, extra_special_tokens=named)


def chat_template(mark: str) -> str:
    """One that reads parts alone, as those of most models with pictures; a picture is `mark`."""
    return (
        "{{ bos_token }}{% for message in messages %}{{ message.role }}: "
        "{% for part in message.content %}{% if part.type == 'image' %}" + mark + "{% else %}{{ part.text }}{% endif %}"
        "{% endfor %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
