"""Parquet files whose metadata contradict themselves are refused before pyarrow reads their statistics."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data.formats.parquet_cells import check_types


def test_columns_of_other_types_than_the_schema_are_refused(tmp_path):
    pq.write_table(pa.table({"image": [b"a", b"b"], "label": [0, 1]}), tmp_path / "a.parquet")
    schema = pq.ParquetFile(tmp_path / "a.parquet").schema
    check_types(["BYTE_ARRAY", "INT64"], schema, tmp_path / "a.parquet")
    for types in (["UNKNOWN", "INT64"], ["INT64", "BYTE_ARRAY"], ["BYTE_ARRAY"]):
        with pytest.raises(
            VaebenchError, match=r"is damaged: a row group has columns of types .* BYTE_ARRAY, INT64, as"
        ):
            check_types(types, schema, tmp_path / "a.parquet")
