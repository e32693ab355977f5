"""text2text-generation against `generate` of transformers' own classes, which have no pipeline for it any more."""

import asyncio
import json
from functools import cache
from random import Random

import pytest
import torch
import transformers

from deployments.errors import InvalidInput, LoadError
from tests.checkpoints import SENTENCES
from tests.generation_models import family_config, spread
from tests.waiting import PATIENCE_S
from tests.writing_checkpoints import (
    ask,
    events,
    outcomes,
    request_of,
    writing_checkpoint,
    writing_replica,
)

FAMILIES = ("t5", "bart", "marian", "pegasus", "mbart")
TEXTS = (*SENTENCES, "a", "two  spaces", "x\ny")
DRAWN = {"do_sample": True, "temperature": 1.5}
SUMMARIES = {"num_beams": 3, "early_stopping": True, "min_length": 5, "max_length": 14, "length_penalty": 2.0}

every_family = pytest.mark.parametrize("family", FAMILIES)


@cache
def loaded(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return tokenizer, transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype="float32").eval()


def text_of(folder, text, **options):
    """What `generate` makes of a text."""
    tokenizer, model = loaded(folder)
    options = {"max_new_tokens": 8, "num_beams": 1, "do_sample": False, **options}
    inputs = tokenizer(text, return_tensors="pt", truncation=True)
    with torch.inference_mode():
        written = model.generate(**inputs, **{name: value for name, value in options.items() if value is not None})
    return tokenizer.decode(written[0], skip_special_tokens=True)


@every_family
def test_greedy_text_alone_is_that_of_generate(writing, family):
    replica, texts = writing.replica(family), set()
    assert replica.description["generation"]["mode"] == "in-flight"
    for text in TEXTS[::4]:
        for options in ({}, {"repetition_penalty": 2.0}):  # without it some of these repeat themselves
            expected = text_of(writing.folder(family), text, **options)
            assert ask(replica, text, **options) == [{"generated_text": expected}]
            texts.add(expected)
    assert len(texts) > 2, "a dull model shows nothing"


@every_family
def test_thirty_unlike_requests_in_flight_get_what_they_get_alone(writing, family):
    random, replica, requests, expected = Random(7), writing.replica(family), [], []
    for text in TEXTS[:15]:
        options = random.choice(
            ({}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 3}, {"eos_token_id": 5})
        )
        options |= {"max_new_tokens": random.randint(3, 14)}
        requests += [request_of(replica, text, **options)] * 2
        expected += [[{"generated_text": text_of(writing.folder(family), text, **options)}]] * 2
    requests.insert(11, request_of(replica, " "))
    answers = asyncio.run(outcomes(replica, requests))
    assert isinstance(answers.pop(11), InvalidInput)
    assert answers == expected
    assert replica.in_flight == 0


@every_family
def test_beams_are_those_of_generate(writing, family):
    """Also beside rows in flight, whose positions some of these models are told by a hook."""
    folder, replica = writing.folder(family), writing.replica(family)
    options = [{"num_beams": 3, "length_penalty": 0.3, "max_new_tokens": 7}, {"max_new_tokens": 20}]
    requests = [request_of(replica, text, **options[number % 2]) for number, text in enumerate(TEXTS[:10])]
    expected = [text_of(folder, text, **options[number % 2]) for number, text in enumerate(TEXTS[:10])]
    assert asyncio.run(outcomes(replica, requests)) == [[{"generated_text": text}] for text in expected]


def test_a_checkpoint_that_searches_beams_is_heard(writing):
    """As those for summaries do."""
    replica, folder = writing.replica("bart", **SUMMARIES), writing.folder("bart", **SUMMARIES)
    plain = {"max_new_tokens": None, "num_beams": None}
    for text in TEXTS[:4]:
        assert ask(replica, text, **plain) == [{"generated_text": text_of(folder, text, **plain)}]
        short = {"max_new_tokens": 9, "min_new_tokens": 1, "num_beams": 2}
        expected = text_of(folder, text, **short, min_length=0)
        assert ask(replica, text, **short) == [{"generated_text": expected}]


def test_forced_and_forbidden_tokens_are_the_checkpoints(writing):
    fixed = {"forced_bos_token_id": 40, "forced_eos_token_id": 2, "bad_words_ids": [[60], [61, 62]]}
    replica, folder = writing.replica("bart", **fixed), writing.folder("bart", **fixed)
    for text in TEXTS[:4]:
        (answer,) = ask(replica, text, details=True)
        assert answer["generated_text"] == text_of(folder, text)
        assert [answer["details"]["tokens"][place]["id"] for place in (0, -1)] == [40, 2]


def test_a_client_batch_is_its_items_in_order(writing):
    replica = writing.replica("t5")
    assert ask(replica, list(TEXTS[:5])) == [ask(replica, text) for text in TEXTS[:5]]
    with pytest.raises(InvalidInput, match=r"inputs\[1\]: inputs is empty"):
        ask(replica, ["a", ""])
    with pytest.raises(InvalidInput, match="empty list"):
        ask(replica, [])


def test_long_texts_are_cut_on_the_side_that_is_asked(writing):
    replica, folder, long = writing.replica("t5"), writing.folder("t5"), " ".join(TEXTS) * 3
    assert ask(replica, long) == [{"generated_text": text_of(folder, long)}]
    right, left = (
        ask(replica, long),
        ask(replica, long, truncation_direction="left", details=True),
    )
    assert right[0]["generated_text"] != left[0]["generated_text"]
    assert left[0]["details"]["input_length"] == 128 + 1  # and the decoder's start
    assert ask(replica, long) == right, "a direction is of its own request"
    call = replica.predict(request_of(replica, [long, "a"]), lambda value: b"", PATIENCE_S)
    assert asyncio.run(call).truncated == 1
    with pytest.raises(InvalidInput, match="inputs has .* tokens; the model reads at most 128"):
        ask(replica, long, truncate=False)


def test_lengths_count_the_decoders_start(writing):
    replica, folder = writing.replica("bart"), writing.folder("bart")
    expected = text_of(folder, TEXTS[0], max_new_tokens=None, max_length=6, min_length=5)
    assert ask(replica, TEXTS[0], max_new_tokens=None, max_length=6, min_length=5)[0]["generated_text"] == expected
    assert ask(replica, TEXTS[0], max_new_tokens=5)[0]["generated_text"] == text_of(folder, TEXTS[0], max_new_tokens=5)
    with pytest.raises(InvalidInput, match=r"parameters.max_length is 1, but the prompt has 1 tokens"):
        ask(replica, TEXTS[0], max_new_tokens=None, max_length=1)


def test_details_are_the_models_own_figures(writing):
    replica = writing.replica("marian")
    tokenizer, model = loaded(writing.folder("marian"))
    (answer,) = ask(replica, TEXTS[1], details=True, top_n_tokens=2)
    details, inputs = answer["details"], tokenizer(TEXTS[1], return_tensors="pt")
    said = [token["id"] for token in details["tokens"]]
    start = [model.config.decoder_start_token_id]
    with torch.inference_mode():
        logs = model(**inputs, decoder_input_ids=torch.tensor([[*start, *said[:-1]]])).logits[0].log_softmax(-1)
    expected = logs.gather(1, torch.tensor(said)[:, None])[:, 0].tolist()
    assert [token["logprob"] for token in details["tokens"]] == pytest.approx(expected, abs=1e-4)
    assert [[token["id"] for token in top] for top in details["top_tokens"]] == logs.topk(2).indices.tolist()
    assert details["input_length"] == inputs["input_ids"].shape[1] + 1


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_stop_strings_and_streams(writing, family):
    replica = writing.replica(family)
    (full,) = ask(replica, TEXTS[3], max_new_tokens=20)
    text = full["generated_text"]
    stop = text[5:8]
    cut = text[: text.find(stop)]
    assert ask(replica, TEXTS[3], max_new_tokens=20, stop=[stop]) == [{"generated_text": cut}]
    for options, expected in (({}, text), ({"stop": [stop]}, cut)):
        told = asyncio.run(events(replica, request_of(replica, TEXTS[3], stream=True, max_new_tokens=20, **options)))
        assert "".join(event["token"]["text"] for event in told) == told[-1]["generated_text"] == expected


def test_a_seed_draws_the_same_text_whatever_else_runs(writing):
    replica = writing.replica("t5")
    mine, others = request_of(replica, "a", **DRAWN, seed=11), [request_of(replica, each, **DRAWN) for each in TEXTS]
    alone, crowd = (
        ask(replica, "a", **DRAWN, seed=11),
        asyncio.run(outcomes(replica, [*others[:8], mine, *others[8:]])),
    )
    assert crowd[8] == alone != ask(replica, "a", **DRAWN, seed=12)
    several = ask(replica, "a", **DRAWN, seed=11, num_return_sequences=3)
    assert several[:1] == alone
    assert len({each["generated_text"] for each in several}) == 3


def change_config(folder, **entries):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return folder


def test_a_language_may_be_a_sentence_in_front(tmp_path):
    prefix = "translate English to German: "
    folder = writing_checkpoint(tmp_path, "t5")
    change_config(folder, task_specific_params={"translation_en_to_de": {"prefix": prefix}, "summarization": {}})
    replica = writing_replica(folder)
    expected = text_of(folder, prefix + TEXTS[0])
    assert ask(replica, TEXTS[0], src_lang="en", tgt_lang="de") == [{"generated_text": expected}]
    assert ask(replica, TEXTS[0]) == [{"generated_text": text_of(folder, TEXTS[0])}]
    with pytest.raises(InvalidInput, match="does not translate from 'en' to 'fr'"):
        ask(replica, TEXTS[0], src_lang="en", tgt_lang="fr")
    replica.stop()


T5_SUMMARY = {"prefix": "summarize: ", "num_beams": 3, "early_stopping": True, "length_penalty": 2.0, "max_length": 14}
T5_GERMAN = {"prefix": "translate English to German: ", "num_beams": 2, "max_length": 9}


def test_a_task_that_the_checkpoint_was_trained_for_has_its_prefix_and_options(tmp_path):
    folder = writing_checkpoint(tmp_path, "t5")
    change_config(folder, task_specific_params={"summarization": T5_SUMMARY, "translation_en_to_de": T5_GERMAN})
    replica = writing_replica(folder)

    def written(task, **options):
        options = {"max_new_tokens": None, **options, **task}
        return [{"generated_text": text_of(folder, options.pop("prefix") + TEXTS[0], **options)}]

    summary = written(T5_SUMMARY)
    assert ask(replica, TEXTS[0], max_new_tokens=None, task="summarization") == summary
    assert ask(replica, TEXTS[0], max_new_tokens=4, task="summarization") == written(
        T5_SUMMARY | {"max_length": None}, max_new_tokens=4
    )
    assert ask(replica, TEXTS[0], max_new_tokens=None, src_lang="en", tgt_lang="de") == written(T5_GERMAN)
    alone = [{"generated_text": text_of(folder, TEXTS[0])}]
    assert ask(replica, TEXTS[0]) == ask(replica, TEXTS[0], task="translation") == alone != summary
    with pytest.raises(InvalidInput, match="task: this checkpoint has no task 'summarisation'; did you mean 'summariz"):
        ask(replica, TEXTS[0], task="summarisation")
    replica.stop()


def test_beam_search_ends_early_where_it_is_asked_to(writing):
    replica = writing.replica("t5")
    options = {"num_beams": 3, "max_new_tokens": 12}
    for early in (True, False, "never"):
        expected = text_of(writing.folder("t5"), TEXTS[2], early_stopping=early, **options)
        assert ask(replica, TEXTS[2], early_stopping=early, **options) == [{"generated_text": expected}]


def test_a_language_may_be_a_token_in_front(tmp_path):
    folder = writing_checkpoint(tmp_path, "marian")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([">>deu<<", ">>fra<<"])
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    spread(model).save_pretrained(folder)
    replica = writing_replica(folder)
    texts = [ask(replica, TEXTS[0], tgt_lang=language)[0]["generated_text"] for language in ("deu", "fra")]
    assert texts == [text_of(folder, f">>{language}<< {TEXTS[0]}") for language in ("deu", "fra")]
    assert len(set(texts)) == 2
    with pytest.raises(InvalidInput, match="parameters.tgt_lang: this model does not have the language 'xxx'"):
        ask(replica, TEXTS[0], tgt_lang="xxx")
    replica.stop()


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    """A model whose tokenizer reads with a source language, and which writes with a forced first token."""
    folder = tmp_path_factory.mktemp("mbart")
    letters = [("▁", -2.0), *((letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyzTP.,")]
    letters += [(first + second, -5.0) for first, _ in letters for second, _ in letters[1:12]]
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>")]
    tokenizer = transformers.MBart50Tokenizer(vocab=[*special, *letters], src_lang="en_XX", model_max_length=128)
    tokenizer.save_pretrained(folder)
    config = family_config("mbart", len(tokenizer), pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)
    spread(transformers.MBartForConditionalGeneration(config)).save_pretrained(folder)
    replica = writing_replica(folder)
    yield folder, replica
    replica.stop()


def test_a_language_may_be_the_tokenizers_and_the_first_token(multilingual):
    folder, replica = multilingual
    tokenizer, _ = loaded(folder)

    def expected(source, **options):
        tokenizer.src_lang = source
        return [{"generated_text": text_of(folder, TEXTS[0], **options)}]

    usual, romanian = expected("en_XX"), expected("ro_RO")
    german = expected("en_XX", forced_bos_token_id=tokenizer.convert_tokens_to_ids("de_DE"))
    assert len({json.dumps(each) for each in (usual, romanian, german)}) == 3
    assert ask(replica, TEXTS[0]) == usual
    assert ask(replica, TEXTS[0], src_lang="ro_RO") == romanian
    assert ask(replica, TEXTS[0], tgt_lang="de_DE") == german
    assert ask(replica, TEXTS[0]) == usual, "a language is of its own request"


@pytest.mark.parametrize("language", ["xx_XX", "a", "▁a", "</s>", ""])
def test_languages_that_the_model_does_not_know(multilingual, language):
    for name in ("src_lang", "tgt_lang"):
        with pytest.raises(
            InvalidInput, match=f"parameters.{name}: this model does not have the language '{language}'"
        ):
            ask(multilingual[1], TEXTS[0], **{name: language})


def test_a_model_without_languages_says_so(writing):
    for options in ({"src_lang": "en"}, {"tgt_lang": "de"}, {"src_lang": "en", "tgt_lang": "de"}):
        with pytest.raises(InvalidInput, match="no choice of languages; omit src_lang and tgt_lang"):
            ask(writing.replica("t5"), TEXTS[0], **options)


def test_what_is_refused(writing):
    with pytest.raises(InvalidInput, match="length is 256 tokens; 301 are requested .1 in the prompt, 300 new"):
        ask(writing.replica("bart"), "a", max_new_tokens=300)
    small = writing.replica("t5", {"generation": {"max_cache_tokens": 150}})
    with pytest.raises(InvalidInput, match=r"needs \d+ tokens \(\d+ read, 60 new\), and the model's cache holds 150"):
        ask(small, "river " * 40, max_new_tokens=60)


def test_a_checkpoint_without_a_start_token_is_refused(tmp_path):
    folder = writing_checkpoint(tmp_path, "t5")
    for name in ("config.json", "generation_config.json"):
        entries = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(entries | {"decoder_start_token_id": None, "bos_token_id": None}))
    with pytest.raises(LoadError, match="no decoder_start_token_id"):
        writing_replica(folder)
