"""A service with much set: keys, traces, two replicas of a model, gRPC, bodies that must come soon."""

from pathlib import Path

from serve.cluster.launch import free_port
from serve.middleware.api_keys import entry_of, new_key
from tests.checkpoints import small_checkpoint
from tests.service.running import RunningService
from tests.writing_checkpoints import writing_checkpoint

EVERYTHING, LIMITED = new_key(), new_key()
LIMIT = 5  # requests a minute, with the second key
BODY_TIMEOUT_S = 5
CONFIG = """
models:
  - model: llama
  - model: embedded:minilm
  - model: embedded:bert-tiny
  - {model: judge, name: twins, replicas: {min: 2, max: 2}}
auth: {api_keys_file: keys.yaml}
limits: {body_timeout_s: BODY_TIMEOUT_S}
tracing: {endpoint: COLLECTOR}
"""


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def configured_service(root: Path, collector: str) -> RunningService:
    """It has not begun yet; the collector's address is where it sends its traces."""
    writing_checkpoint(root / "llama", "llama")
    small_checkpoint(root / "judge", "bert", "SequenceClassification")
    limited = entry_of("limited", LIMITED) + f"\n    models: [minilm]\n    requests_per_minute: {LIMIT}"
    (root / "keys.yaml").write_text(f"keys:\n{entry_of('everything', EVERYTHING)}\n{limited}\n")
    config = CONFIG.replace("BODY_TIMEOUT_S", str(BODY_TIMEOUT_S)).replace("COLLECTOR", collector)
    (root / "service.yaml").write_text(config)
    return RunningService(str(root / "service.yaml"), log=root / "log", grpc_port=free_port())
