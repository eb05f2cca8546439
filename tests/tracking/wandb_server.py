"""A stand-in for the server of Weights & Biases on this machine: enough of its API to take runs, and no more.

It holds what would be there to be seen: of each run its name, group and config, rows of history, summary and files.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = {"id": "entity", "name": "me"}


@dataclass
class StoredRun:
    """A run as the server has it; ``history`` has the line number of the stream as key, as the real one does."""

    bucket: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [self.history[line] for line in sorted(self.history)]


class WandbServer:
    """Serves on a port of its own until it is stopped, or cannot be reached any more.

    refuses: a status with which it answers every request. leaves_after: how many queries it answers at all.
    """

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = defaultdict(StoredRun)
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.refuses: int | None = None
        self.leaves_after: int | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._answer({})

            def do_PUT(self) -> None:
                server.files[self.path] = self._body()
                self._answer({})

            def do_POST(self) -> None:
                body = self._body()
                if self.path.endswith("/file_stream"):
                    self._answer(server.take_stream(self.path.split("/")[-2], json.loads(body)))
                elif self.path == "/graphql":
                    self._answer({"data": server.answer(json.loads(body), server.url)})
                else:
                    self._answer({})

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def _answer(self, content: dict[str, Any]) -> None:
                if server.leaves_after is not None and len(server.operations) > server.leaves_after:
                    self.connection.close()
                    return
                data = json.dumps(content).encode()
                self.send_response(server.refuses or 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def take_stream(self, run: str, body: dict[str, Any]) -> dict[str, Any]:
        """A piece of a run's stream: lines of its files from an offset on, and at the end its exit code."""
        stored = self.runs[run]
        for name, piece in (body.get("files") or {}).items():
            for number, line in enumerate(piece["content"], start=piece["offset"]):
                if name == "wandb-history.jsonl":
                    stored.history[number] = json.loads(line)
                elif name == "wandb-summary.json":
                    stored.summary = json.loads(line)
        if body.get("complete"):
            stored.exit_code = body.get("exitcode")
        return {"limits": {}}

    def answer(self, body: dict[str, Any], url: str) -> dict[str, Any]:
        """The data that answers a GraphQL query; nothing for those that a run can do without."""
        operation = body["query"].split("(")[0].split("{")[0].split()[-1]  # `query Name($variable: Kind) { ... }`
        self.operations.append(operation)
        answer = getattr(self, re.sub("(?=[A-Z])", "_", operation).lower(), None)
        return answer(body.get("variables") or {}, url) if answer else {}

    def _viewer(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        return {"viewer": {"id": "viewer", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}

    def _run_resume_status(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        if run is None:
            return {"model": {"id": "project", "name": variables["project"], "entity": ENTITY, "bucket": None}}
        tail = [json.dumps(run.rows[-1])] if run.rows else []
        bucket = {
            "id": variables["name"],
            "name": variables["name"],
            "displayName": run.bucket["displayName"],
            "summaryMetrics": json.dumps(run.summary),
            "config": run.bucket["config"],
            "historyLineCount": len(run.history),
            "historyTail": json.dumps(tail),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": [],
            "wandbConfig": run.bucket["config"],
        }
        return {"model": {"id": "project", "name": variables["project"], "entity": ENTITY, "bucket": bucket}}

    def _upsert_bucket(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        stored = self.runs[variables["name"]].bucket
        stored.update({key: value for key, value in variables.items() if value is not None})
        project = {"id": "project", "name": variables["project"], "entity": ENTITY}
        bucket = {"id": variables["name"], "name": variables["name"], "project": project, "historyLineCount": 0}
        bucket |= {"displayName": stored.get("displayName"), "config": stored.get("config"), "sweepName": None}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _create_run_files(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{url}/{variables['run']}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def _artifact_type(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _create_artifact(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        self.artifacts.append(variables["input"])
        artifact = {"id": f"artifact-{len(self.artifacts)}", "state": "PENDING"}
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": {"latestArtifact": None}}}}

    def _create_artifact_manifest(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        file = {"id": "file", "name": "wandb_manifest.json", "uploadHeaders": []}
        file |= {"uploadUrl": f"{url}/artifacts/manifest", "displayName": "wandb_manifest.json"}
        return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}

    def _update_artifact_manifest(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        answer = self._create_artifact_manifest(variables, url)["createArtifactManifest"]
        return {"updateArtifactManifest": answer}

    def _create_artifact_files(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        edges = []
        for number, spec in enumerate(variables["input"]["artifactFiles"]):
            path = f"{url}/artifacts/{spec['name']}"
            node = {"id": f"file-{number}", "name": spec["name"], "displayName": spec["name"], "uploadUrl": path}
            node |= {"uploadHeaders": [], "storagePath": spec["name"], "artifact": {"id": spec["artifactID"]}}
            edges.append({"node": {**node, "uploadMultipartUrls": None}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit_artifact(self, variables: dict[str, Any], url: str) -> dict[str, Any]:
        return {"commitArtifact": {"artifact": {"id": variables.get("artifactID"), "digest": ""}}}
