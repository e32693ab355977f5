"""The registry: every task in it, found by name, alias and by what a checkpoint says."""

import ast
import json
from pathlib import Path

import pytest
from transformers.models.auto import modeling_auto
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as IMAGE_TEXT_TO_TEXT

import deployments.tasks
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.registry import ALIASES, FORMS, KINDS, TASKS, find_task, task_of
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction
from deployments.tasks.feature_extraction_image_text import ImageTextFeatureExtraction
from deployments.text.two_towers import TwoTowers


def config_of(folder, *architectures, processor=None, **settings):
    folder.mkdir(exist_ok=True)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "config.json").write_text(json.dumps({"architectures": list(architectures)}))
    return ModelConfig(model=str(folder), name="small", **settings)


def test_every_task_file_is_registered():
    """A file in deployments/tasks is a task; forgetting the registry would be a task that nobody can serve."""
    files = {path for path in Path(deployments.tasks.__path__[0]).glob("*.py") if path.stem != "__init__"}
    forms = [form for several in FORMS.values() for form in several]
    registered = {f"{task.__module__.rsplit('.', 1)[-1]}.py" for task in [*KINDS, *forms]}
    assert {path.name for path in files} == registered


def test_names_are_the_hubs_and_belong_to_one_task_each():
    for kind in KINDS:
        name = kind.name
        assert name == name.lower().replace("_", "-")
        file = name.replace("-", "_") + ("" if kind is TASKS[name] else f"_{kind.medium}")
        file += "_text" if issubclass(kind, TwoTowers) else ""
        assert kind.__module__ == f"deployments.tasks.{file}"
    assert not set(ALIASES) & set(TASKS)
    endings = [(kind.medium, final_event) for kind in KINDS for final_event in kind.architectures]
    assert len(endings) == len(set(endings))
    assert len({task.auto_model for task in TASKS.values()}) == len(TASKS)


def test_find_task():
    assert find_task("text-classification").name == "text-classification"
    assert find_task("sentiment-analysis").name == "text-classification"
    with pytest.raises(LoadError, match="did you mean 'text-classification'"):
        find_task("text-clasification")
    with pytest.raises(LoadError, match="there are .*text-classification"):
        find_task("xyzzy")


def test_the_configured_task_goes_first(tmp_path):
    config = config_of(tmp_path, "BertForSequenceClassification", task="embeddings")
    assert task_of(config).name == "feature-extraction"


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("RobertaForMaskedLM", "fill-mask"),
        ("DebertaV2ForMultipleChoice", "multiple-choice"),
        ("XLMRobertaForTokenClassification", "token-classification"),
        ("DistilBertForQuestionAnswering", "question-answering"),
        ("BertModel", "feature-extraction"),
        ("MPNetModel", "feature-extraction"),
    ],
)
def test_the_checkpoint_says_its_task(tmp_path, architecture, name):
    assert task_of(config_of(tmp_path, architecture)).name == name


VISION = {"image_processor_type": "ViTImageProcessor"}
OLD_VISION = {"feature_extractor_type": "ViTFeatureExtractor", "image_mean": [0.5, 0.5, 0.5]}
SOUND = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}


@pytest.mark.parametrize(
    ("architecture", "processor", "name", "medium"),
    [
        ("ViTForImageClassification", VISION, "image-classification", "image"),
        ("DeiTForImageClassificationWithTeacher", OLD_VISION, "image-classification", "image"),
        ("Wav2Vec2ForSequenceClassification", SOUND, "audio-classification", "audio"),
        ("ASTForAudioClassification", SOUND, "audio-classification", "audio"),
        ("WavLMForCTC", SOUND, "speech-recognition-ctc", "audio"),
        ("ViTModel", VISION, "feature-extraction", "image"),
        ("HubertModel", SOUND, "feature-extraction", "audio"),
        ("BertModel", None, "feature-extraction", "text"),
    ],
)
def test_what_a_checkpoint_reads_decides_with_its_architecture(tmp_path, architecture, processor, name, medium):
    config = config_of(tmp_path, architecture, processor=processor)
    for configured in (None, name):
        kind = task_of(config.model_copy(update={"task": configured}))
        assert (kind.name, kind.medium) == (name, medium)


# Speech translators with several media, and classes of which no task's auto class makes use.
NO_TASK = {
    *(f"SeamlessM4T{version}For{kind}" for version in ("", "v2") for kind in ("TextToText", "SpeechToText")),
    "SpeechT5ForSpeechToText",
    "DiffusionGemmaForBlockDiffusion",
    "EvollaForProteinText2Text",
    "NemotronH_Omni_Reasoning_V3",
}


def classes_of(kind):
    """The architectures that a task's auto class loads."""
    entries = getattr(modeling_auto, kind.auto_model)._model_mapping._model_mapping.values()
    return {name for entry in entries for name in ([entry] if isinstance(entry, str) else entry)}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.auto_model != "AutoModel"])
def test_every_architecture_of_transformers_means_a_task_that_loads_it(tmp_path, kind):
    """Of AutoModel's classes many are of no task. Models that read pictures say so by their processor, not here."""
    processor = {"text": None, "image": VISION, "audio": SOUND}[kind.medium]
    readers = {*IMAGE_TEXT_TO_TEXT.values(), "MossTranscribeDiarizeForConditionalGeneration"}
    names = classes_of(kind) - NO_TASK - (readers if kind.medium == "text" else set())
    found = {name: task_of(config_of(tmp_path, name, processor=processor)) for name in sorted(names)}
    assert {name: other.name for name, other in found.items() if name not in classes_of(other)} == {}


@pytest.mark.parametrize("name", ["T5WithLMHeadModel", "EncoderDecoderModel", "MarianMTModel"])
def test_older_names_of_text_to_text_models(tmp_path, name):
    assert task_of(config_of(tmp_path, name)).name == "text2text-generation"


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("CLIPModel", ImageTextFeatureExtraction),
        ("ChineseCLIPModel", ImageTextFeatureExtraction),
        ("SiglipModel", ImageTextFeatureExtraction),
        ("CLIPVisionModel", ImageFeatureExtraction),
        ("SiglipVisionModel", ImageFeatureExtraction),
    ],
)
def test_a_model_with_two_towers_is_known_by_its_architecture(tmp_path, architecture, kind):
    config = config_of(tmp_path, architecture, processor=VISION)
    for configured in (None, "feature-extraction", "AutoModel"):
        assert task_of(config.model_copy(update={"task": configured})) is kind


def test_a_configured_task_takes_an_architecture_that_it_does_not_know(tmp_path):
    config = config_of(tmp_path, "ViTForImageClassification", processor=VISION, task="feature-extraction")
    assert task_of(config) is ImageFeatureExtraction


def test_models_that_write_about_pictures_are_known_by_their_architecture(tmp_path):
    others = ("Text2Text", "BlockDiffusion", "_V3")
    names = [
        name
        for name in sorted(set(IMAGE_TEXT_TO_TEXT.values()))
        if not name.endswith(others) or name == "IdeficsForVisionText2Text"
    ]
    tasks = {name: task_of(config_of(tmp_path, name, processor=VISION)).name for name in names}
    assert tasks == dict.fromkeys(names, "image-to-text")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("AutoModelForVision2Seq", "image-to-text"),
        ("AutoModelForImageTextToText", "image-to-text"),
        ("AutoModelForCausalLM", "text-generation"),
        ("AutoModelForSequenceClassification", "text-classification"),
        ("AutoModel", "feature-extraction"),
    ],
)
def test_a_class_of_transformers_means_its_task(tmp_path, name, task):
    assert find_task(name).name == task
    config = config_of(tmp_path, processor=VISION if "I" in name or "V" in name else None, task=name)
    assert task_of(config).name == task


def test_a_configured_task_needs_no_files(tmp_path):
    """A gateway may run on another machine than the model."""
    for task in ("text-classification", "fill-mask"):
        assert task_of(ModelConfig(model=str(tmp_path / "nowhere"), name="small", task=task)).name == task


def test_an_alias_of_several_tasks_is_found():
    assert find_task("automatic-speech-recognition").name == "speech-recognition-ctc"


def test_the_first_architecture_that_means_a_task_decides(tmp_path):
    config = config_of(tmp_path, "BertForPreTraining", "BertForSequenceClassification", "BertModel")
    assert task_of(config).name == "text-classification"


@pytest.mark.parametrize("architectures", [(), ("BertForNextSentencePrediction",)])
def test_a_checkpoint_that_says_nothing_needs_a_task_in_the_configuration(tmp_path, architectures):
    with pytest.raises(LoadError, match="set `task` to one of"):
        task_of(config_of(tmp_path, *architectures))


def test_the_code_never_branches_on_a_tasks_name():
    """Where behaviour differs, a method differs: names stand in the tasks' own files only."""
    root = Path(deployments.tasks.__path__[0]).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Compare, ast.Match)):
                constants = {child.value for child in ast.walk(node) if isinstance(child, ast.Constant)}
                assert not constants & {*TASKS, *ALIASES}, f"{path.name}:{node.lineno}"
