"""Builds the Python code of protos/ into gen/ whenever the package is built or installed.

Generated code is never committed and never edited. An editable install puts gen/ on the path, a
wheel takes gen/tgfleet in. Run `make protos` after changing a .proto file.
"""

from __future__ import annotations

import shutil
import sysconfig
from importlib import resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def generate(root: Path) -> None:
    """Compile every .proto below root/protos into root/gen; raises RuntimeError if protoc refuses one."""
    from grpc_tools import protoc

    source, target = root / "protos", root / "gen"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    files = sorted(str(path) for path in source.rglob("*.proto"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    scripts = Path(sysconfig.get_path("scripts"))  # the virtual environment may not be on PATH
    code = protoc.main(
        [
            "protoc",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"-I{source}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *files,
        ]
    )
    if code:
        raise RuntimeError(f"protoc failed with exit code {code}; its message is above")
    packages = {
        parent for path in target.rglob("*_pb2.py") for parent in path.parents if target in parent.parents
    }
    for package in packages:
        (package / "__init__.py").touch()
        (package / "py.typed").touch()


class ProtobufBuildHook(BuildHookInterface[Any]):
    """Runs `generate` before hatchling collects files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        generate(Path(self.root))


if __name__ == "__main__":
    generate(Path(__file__).parent)
