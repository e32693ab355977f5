"""`pronunciation`, a small Marian model that gives the pronunciation of English words: the files of its folder.

Encoder and decoder share a vocabulary of letters, the tokens of a word, and ARPAbet phonemes, which are separated by
spaces. The digit of a vowel is its stress: 1 primary, 2 secondary, 0 none.
"""

from typing import Any

NAME = "pronunciation"
LONGEST = 64
"""Maximum tokens of a word, including the end token."""

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz'-.")
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
PHONEMES = (*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in "012"))
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
VOCABULARY = {token: number for number, token in enumerate((PAD, END, UNKNOWN, *LETTERS, *PHONEMES))}

CONFIG: dict[str, Any] = {
    "model_type": "marian",
    "architectures": ["MarianMTModel"],
    "is_encoder_decoder": True,
    "vocab_size": len(VOCABULARY),
    "d_model": 128,
    "encoder_layers": 4,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
    "max_position_embeddings": LONGEST,
    "activation_function": "relu",
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "scale_embedding": True,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
    "pad_token_id": VOCABULARY[PAD],
    "eos_token_id": VOCABULARY[END],
    "bos_token_id": None,
    "decoder_start_token_id": VOCABULARY[PAD],
    "forced_eos_token_id": None,
    "dtype": "float32",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "config.json": CONFIG,
    "generation_config.json": {
        "decoder_start_token_id": VOCABULARY[PAD],
        "pad_token_id": VOCABULARY[PAD],
        "eos_token_id": VOCABULARY[END],
        "max_length": LONGEST,
    },
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "model_max_length": LONGEST,
    },
}
TOKENIZER = f"{NAME}.tokenizer.json"
