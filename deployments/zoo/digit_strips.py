"""`digit-strips`, a small ViT with a TrOCR decoder that reads handwritten digits: the files of its folder."""

from typing import Any

NAME = "digit-strips"
HEIGHT, WIDTH = 16, 80
LONGEST = 5
"""Maximum digits of a strip."""

PAD, START, END = "<pad>", "<s>", "</s>"
VOCABULARY = {token: number for number, token in enumerate((PAD, START, END, *"0123456789"))}

_NUMBERS = {
    "pad_token_id": VOCABULARY[PAD],
    "bos_token_id": VOCABULARY[START],
    "eos_token_id": VOCABULARY[END],
    "decoder_start_token_id": VOCABULARY[START],
}
ENCODER: dict[str, Any] = {
    "model_type": "vit",
    "image_size": [HEIGHT, WIDTH],
    "patch_size": [HEIGHT, 4],
    "num_channels": 3,
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
"""A patch is as high as the strip and 4 pixels wide, so the patches form a sequence like text."""

DECODER: dict[str, Any] = {
    "model_type": "trocr",
    "vocab_size": len(VOCABULARY),
    "d_model": 96,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 192,
    "cross_attention_hidden_size": 96,
    "max_position_embeddings": 32,
    "use_learned_position_embeddings": True,
    "activation_function": "gelu",
    "dropout": 0.0,
    "is_decoder": True,
    "add_cross_attention": True,
    "tie_word_embeddings": False,
    **_NUMBERS,
}
PREPROCESSING: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": HEIGHT, "width": WIDTH},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
"""The whole image is resized without keeping its aspect ratio; pixels of 0 to 255 become -1 to 1."""

SETTINGS: dict[str, dict[str, Any]] = {
    "config.json": {
        "model_type": "vision-encoder-decoder",
        "architectures": ["VisionEncoderDecoderModel"],
        "is_encoder_decoder": True,
        "tie_word_embeddings": False,
        "encoder": ENCODER,
        "decoder": DECODER,
        "dtype": "float32",
        **_NUMBERS,
    },
    "generation_config.json": {**_NUMBERS, "max_length": 12},
    "preprocessor_config.json": PREPROCESSING,
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "bos_token": START,
        "eos_token": END,
        "model_max_length": DECODER["max_position_embeddings"],
    },
}
TOKENIZER = f"{NAME}.tokenizer.json"
