import shutil
from pathlib import Path

import pytest
from samples import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "campaigns" / "appointment_reminder", tmp_path / "reminder"))
