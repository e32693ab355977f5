"""One model with two towers and its application, asked in memory."""

from pathlib import Path
from typing import Any

import httpx

from deployments.config import ModelConfig
from deployments.registry import task_of
from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.model.app import ModelApp
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.two_towers_checkpoints import two_towers_checkpoint

LIMITS = Limits(max_body_mb=1, max_batch_items=16, request_timeout_s=60)


class TwoTowersModel:
    """A loaded model of a family; `replica.stop()` ends its threads."""

    def __init__(self, folder: Path, family: str) -> None:
        self.folder = two_towers_checkpoint(folder / family, family)
        config = ModelConfig(model=str(self.folder), name=family, device="cpu")
        self.replica = Replica(config, task_of(config))
        self.replica.load()
        (self.route,) = RouteTable([(family, task_of(config))]).routes
        endpoint = Endpoint(self.replica, self.route, LIMITS, MediaSources())
        self.app = ModelApp(endpoint, self.replica, self.route, LIMITS)

    async def call(self, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test") as client:
            return await client.post(path, **options)

    async def ask(self, below: str, body: Any, status: int = 200) -> Any:
        answer = await self.call(self.route.path + below, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()
