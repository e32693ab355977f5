"""text-generation against transformers' own pipeline: every family, alone and with others in flight."""

import asyncio
from random import Random

import pytest
import torch

from deployments.errors import InvalidInput
from tests.checkpoints import SENTENCES
from tests.waiting import PATIENCE_S
from tests.writing_checkpoints import ask, events, outcomes, request_of

FAMILIES = ("gpt2", "llama", "qwen3", "gemma3", "opt", "gpt-neox", "bloom", "mamba")
PROMPTS = (*SENTENCES, "a", " two  spaces ", "\n")
CHAT = [
    {"role": "system", "content": "You are short."},
    {"role": "user", "content": "Who wrote the letter? 🙂"},
]
DRAWN = {"do_sample": True, "temperature": 1.5}

every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def pipelines(writing):
    from transformers import pipeline

    made = {}

    def of(family, **options):
        folder = writing.folder(family, **options)
        if folder not in made:
            made[folder] = pipeline("text-generation", model=str(folder), device="cpu", dtype="float32")
        return made[folder]

    return of


def text_of(pipe, prompt, **options):
    """What the pipeline says behind a prompt."""
    (answer,) = pipe(prompt, return_full_text=False, **{"max_new_tokens": 8, "do_sample": False, **options})
    return answer["generated_text"]


def logs_of(replica, ids, count):
    """The model's own log-probabilities `[count, vocabulary]` of the last `count` tokens."""
    with torch.inference_mode():
        logits = replica.task.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits[-count - 1 : -1].log_softmax(-1)


@every_family
def test_how_each_family_runs(writing, family):
    generation = writing.replica(family).description["generation"]
    assert generation["mode"] == ("static" if family == "mamba" else "in-flight")
    assert ("state" in generation["reason"]) if family == "mamba" else (generation["difference"] < 1e-4)


@every_family
def test_greedy_text_alone_is_the_pipelines(writing, pipelines, family):
    replica, texts = writing.replica(family), set()
    for prompt in PROMPTS[::3]:
        expected = text_of(pipelines(family), prompt)
        assert ask(replica, prompt) == [{"generated_text": expected}]
        assert ask(replica, prompt, return_full_text=True) == [{"generated_text": prompt + expected}]
        texts.add(expected)
    assert len(texts) > 2, "a dull model shows nothing"


@every_family
def test_thirty_unlike_requests_in_flight_get_what_they_get_alone(writing, pipelines, family):
    random, replica, requests, expected = Random(7), writing.replica(family), [], []
    for prompt in PROMPTS[:15]:
        options = random.choice(
            ({}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 3}, {"eos_token_id": 5})
        )
        options |= {"max_new_tokens": random.randint(3, 14)}
        requests += [request_of(replica, prompt, **options)] * 2
        expected += [[{"generated_text": text_of(pipelines(family), prompt, **options)}]] * 2
    requests.insert(11, request_of(replica, ""))
    answers = asyncio.run(outcomes(replica, requests))
    assert isinstance(answers.pop(11), InvalidInput)
    assert answers == expected
    assert replica.in_flight == 0


@pytest.mark.parametrize("family", ["gpt2", "opt", "mamba"])
def test_beams_are_those_of_generate(writing, pipelines, family):
    options = {"num_beams": 3, "length_penalty": 0.3}
    expected = [text_of(pipelines(family), prompt, **options) for prompt in SENTENCES[:4]]
    answers = ask(writing.replica(family), list(SENTENCES[:4]), **options)
    assert answers == [[{"generated_text": text}] for text in expected]
    assert expected != [text_of(pipelines(family), prompt) for prompt in SENTENCES[:4]]


def test_a_client_batch_is_its_items_in_order(writing):
    replica = writing.replica("llama", chat=True)
    assert ask(replica, list(SENTENCES[:5])) == [ask(replica, text) for text in SENTENCES[:5]]
    assert ask(replica, [SENTENCES[0]]) == [ask(replica, SENTENCES[0])]
    assert ask(replica, [CHAT, CHAT[1:]]) == [
        ask(replica, CHAT),
        ask(replica, CHAT[1:]),
    ]
    with pytest.raises(InvalidInput, match=r"inputs\[1\]: inputs is empty"):
        ask(replica, ["a", ""])


@pytest.mark.parametrize("began", [[], [{"role": "assistant", "content": "The mayor's"}]])
def test_chats_are_the_pipelines(writing, pipelines, began):
    replica, pipe, chat = writing.replica("llama", chat=True), pipelines("llama", chat=True), [*CHAT, *began]
    whole = pipe(chat, max_new_tokens=8, do_sample=False)
    assert ask(replica, chat, return_full_text=True) == whole
    content = whole[0]["generated_text"][-1]["content"]
    assert ask(replica, chat) == [{"generated_text": content.removeprefix("The mayor's")}]
    assert len(whole[0]["generated_text"]) == 3
    assert whole[0]["generated_text"][-1]["role"] == "assistant"


def test_chats_that_cannot_be_read(writing):
    with pytest.raises(InvalidInput, match="no chat template; send a prompt"):
        ask(writing.replica("llama"), CHAT)
    replica = writing.replica("llama", chat=True)
    with pytest.raises(InvalidInput, match="template rejects inputs: the system speaks first"):
        ask(replica, CHAT[::-1])
    with pytest.raises(InvalidInput, match="inputs is an empty list"):
        ask(replica, [])
    with pytest.raises(InvalidInput, match="a chat without messages"):
        ask(replica, [[]])
    with pytest.raises(InvalidInput, match=r"inputs\[1\]: inputs is a chat without messages"):
        ask(replica, [CHAT, []])


def test_only_the_end_of_a_prompt_is_read(writing):
    replica = writing.replica("llama")
    ids = replica.task.tokenizer(SENTENCES[0])["input_ids"]
    (cut,) = ask(replica, SENTENCES[0], truncate=5, details=True)
    assert cut["details"]["input_length"] == 5
    said = replica.task.model.generate(torch.tensor([ids[-5:]]), max_new_tokens=8, do_sample=False)[0, 5:].tolist()
    assert [token["id"] for token in cut["details"]["tokens"]] == said
    assert ask(replica, SENTENCES[0], truncate=len(ids)) == ask(replica, SENTENCES[0])
    call = replica.predict(request_of(replica, [SENTENCES[0], "a"], truncate=5), lambda value: b"", PATIENCE_S)
    assert asyncio.run(call).truncated == 1


def test_lengths_may_count_the_prompt(writing):
    replica = writing.replica("llama")
    ids = replica.task.tokenizer(SENTENCES[5])["input_ids"]
    lengths = {"max_new_tokens": None, "max_length": len(ids) + 3}
    assert ask(replica, SENTENCES[5], **lengths) == ask(replica, SENTENCES[5], max_new_tokens=3)
    min_samples = {"eos_token_id": list(range(100)), "details": True, "max_new_tokens": 30}
    for options in ({"min_length": len(ids) + 6}, {"min_new_tokens": 6}):
        assert ask(replica, SENTENCES[5], **min_samples, **options)[0]["details"]["generated_tokens"] >= 6
    with pytest.raises(InvalidInput, match=f"max_length is 3, but the prompt has {len(ids)} tokens"):
        ask(replica, SENTENCES[5], max_new_tokens=None, max_length=3)


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_details_are_the_models_own_figures(writing, family):
    replica = writing.replica(family)
    (answer,) = ask(replica, SENTENCES[1], details=True, top_n_tokens=3, repetition_penalty=1.5)
    details, ids = answer["details"], replica.task.tokenizer(SENTENCES[1])["input_ids"]
    said = [token["id"] for token in details["tokens"]]
    logs = logs_of(replica, [*ids, *said], len(said))
    expected = logs.gather(1, torch.tensor(said)[:, None])[:, 0].tolist()
    assert [token["logprob"] for token in details["tokens"]] == pytest.approx(expected, abs=1e-4)
    likeliest = [[token["id"] for token in top] for top in details["top_tokens"]]
    assert likeliest == logs.topk(3).indices.tolist()
    flat = [token["logprob"] for top in details["top_tokens"] for token in top]
    assert flat == pytest.approx(logs.topk(3).values.flatten().tolist(), abs=1e-4)
    assert [token["text"] for token in details["tokens"]] == [replica.task.tokenizer.decode([each]) for each in said]
    assert (details["finish_reason"], details["generated_tokens"]) == ("length", 8)
    assert (details["input_length"], details["seed"], details["prefill"]) == (len(ids), None, [])
    assert 0 < details["timings"]["first_token_s"] <= details["timings"]["total_s"]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_why_a_text_ended(writing, family):
    replica = writing.replica(family)
    (full,) = ask(replica, SENTENCES[2], details=True)
    end = full["details"]["tokens"][3]
    (ended,) = ask(replica, SENTENCES[2], details=True, eos_token_id=end["id"])
    assert (ended["details"]["finish_reason"], ended["details"]["tokens"][-1]["id"]) == ("eos_token", end["id"])
    text = full["generated_text"]
    stop = text[2:4]
    (stopped,) = ask(replica, SENTENCES[2], details=True, stop=["never there", stop])
    assert stopped["generated_text"] == text[: text.find(stop)]
    assert stopped["details"]["finish_reason"] == "stop_sequence"
    assert stopped["details"]["generated_tokens"] < 8


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_a_seed_draws_the_same_text_whatever_else_runs(writing, family):
    replica = writing.replica(family)
    mine = request_of(replica, SENTENCES[0], **DRAWN, seed=11, details=True)
    others = [request_of(replica, text, **DRAWN) for text in SENTENCES[:8]]
    (alone,), crowd = asyncio.run(outcomes(replica, [mine])), asyncio.run(outcomes(replica, [*others, mine, *others]))
    assert crowd[8][0]["generated_text"] == alone[0]["generated_text"]
    assert alone[0]["details"]["seed"] == 11
    assert ask(replica, SENTENCES[0], **DRAWN, seed=12) != [{"generated_text": alone[0]["generated_text"]}]
    fresh = (
        ask(replica, SENTENCES[0], temperature=1.5),
        ask(replica, SENTENCES[0], top_p=0.99),
    )
    assert fresh[0] != fresh[1], "an option of drawing draws"


def test_a_fresh_seed_is_told_and_draws_the_same_again(writing):
    replica = writing.replica("llama")
    (answer,) = ask(replica, "a", **DRAWN, details=True)
    assert ask(replica, "a", **DRAWN, seed=answer["details"]["seed"])[0]["generated_text"] == answer["generated_text"]


def test_several_texts_of_one_input(writing):
    replica = writing.replica("llama")
    texts = [answer["generated_text"] for answer in ask(replica, "a", **DRAWN, seed=5, num_return_sequences=4)]
    assert len(set(texts)) == 4
    assert texts == [ask(replica, "a", **DRAWN, seed=seed)[0]["generated_text"] for seed in (5, 6, 7, 8)]
    every = ask(replica, "a", **DRAWN, seed=5, num_return_sequences=4, details=True)
    means = [sum(token["logprob"] for token in each["details"]["tokens"]) / 8 for each in every]
    (best,) = ask(replica, "a", **DRAWN, seed=5, best_of=4)
    assert best["generated_text"] == texts[means.index(max(means))]
    two = ask(replica, "a", **DRAWN, seed=5, best_of=4, num_return_sequences=2)
    assert [each["generated_text"] for each in two] == [texts[i] for i in sorted(range(4), key=lambda i: -means[i])[:2]]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_the_events_of_a_stream_are_the_answer(writing, family):
    replica = writing.replica(family)
    for prompt in (SENTENCES[10], SENTENCES[12]):
        told = asyncio.run(events(replica, request_of(replica, prompt, stream=True, max_new_tokens=20)))
        (answer,) = ask(replica, prompt, details=True, max_new_tokens=20)
        assert (
            "".join(event["token"]["text"] for event in told) == answer["generated_text"] == told[-1]["generated_text"]
        )
        assert [event["token"]["id"] for event in told] == [token["id"] for token in answer["details"]["tokens"]]
        logprobs = [token["logprob"] for token in answer["details"]["tokens"]]
        assert [event["token"]["logprob"] for event in told] == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ("", {}, "inputs is empty"),
        ("a" * 270_000, {}, "inputs has 270,000 characters; the limit is 262,144"),
        (
            "river " * 200,
            {"max_new_tokens": 100},
            "maximum context length is 256 tokens; 701 are requested .601 in the prompt, 100 new",
        ),
        (
            "river " * 200,
            {"max_new_tokens": 100, "num_beams": 2},
            "maximum context length is 256 tokens; 701 are requested .601 in the prompt, 100 new",
        ),
        ("a", {"max_new_tokens": 0}, "max_new_tokens must be at least 1, not 0"),
        ("a", {"min_new_tokens": 9}, r"min_new_tokens \(9\) must not exceed max_new_tokens \(8\)"),
        ("a", {"temperature": 0.0}, "temperature must be above 0, not 0.0; for greedy decoding"),
        ("a", {"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
        ("a", {"top_k": -1}, "top_k must be at least 0, not -1"),
        ("a", {"seed": 2**64}, "seed must be between -2"),
        ("a", {"num_return_sequences": 2}, "several texts need do_sample and no num_beams"),
        ("a", {"best_of": 2, "num_beams": 2, "do_sample": True}, "several texts need do_sample and no num_beams"),
    ],
)
def test_what_is_refused(writing, inputs, parameters, message):
    with pytest.raises(Exception, match=message) as caught:
        ask(writing.replica("gpt2"), inputs, **parameters)
    assert caught.value.status in (413, 422)


def test_a_request_larger_than_the_cache_is_refused_with_both_figures(writing):
    replica = writing.replica("bloom", {"generation": {"max_cache_tokens": 300}})
    with pytest.raises(InvalidInput, match=r"needs 5\d\d tokens .* and the model's cache holds 300"):
        ask(replica, "river", max_new_tokens=500)
    assert ask(replica, "river")


def test_checkpoints_may_want_what_only_generate_has(writing, pipelines):
    options = {"encoder_repetition_penalty": 1.4}
    replica = writing.replica("llama", **options)
    assert "encoder_repetition_penalty" in replica.description["generation"]["reason"]
    for prompt in SENTENCES[:3]:
        expected = text_of(pipelines("llama", **options), prompt)
        assert ask(replica, prompt) == [{"generated_text": expected}]
    assert expected != text_of(pipelines("llama"), SENTENCES[2])


def test_a_prompt_may_come_as_its_token_ids(writing):
    replica = writing.replica("llama")
    prompts = PROMPTS[:2]
    ids = [replica.task.tokenizer(prompt)["input_ids"] for prompt in prompts]
    texts = [ask(replica, prompt, max_new_tokens=6)[0] for prompt in prompts]
    assert ask(replica, ids[0], max_new_tokens=6) == [texts[0]]
    assert ask(replica, ids, max_new_tokens=6) == [[text] for text in texts]
    shown = replica.task.tokenizer.decode(ids[0], skip_special_tokens=True)
    whole = ask(replica, ids[0], max_new_tokens=6, return_full_text=True)[0]["generated_text"]
    assert whole == shown + texts[0]["generated_text"]
    with pytest.raises(InvalidInput, match="inputs has the token id 99999; this model's highest is"):
        ask(replica, [1, 99_999])
