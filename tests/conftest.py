"""The packaged case, opened once."""

from __future__ import annotations

import pytest

from antagony.case import Case, open_case


@pytest.fixture(scope="session")
def case() -> Case:
    return open_case()
