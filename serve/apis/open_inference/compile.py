"""Compiles `protocol.proto`; run it as a module after a change. Needs grpcio-tools."""

import tempfile
from pathlib import Path

from serve.apis.open_inference.protobuf import COMPILED

SOURCE = Path(__file__).with_name("protocol.proto")


def compiled() -> bytes:
    """The descriptors of the protocol's messages and service."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / COMPILED.name
        arguments = ["protoc", f"--proto_path={SOURCE.parent}", f"--descriptor_set_out={out}", SOURCE.name]
        if protoc.main(arguments):
            raise SystemExit(f"{SOURCE} cannot be compiled")
        return out.read_bytes()


if __name__ == "__main__":
    COMPILED.write_bytes(compiled())
