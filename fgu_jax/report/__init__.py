"""The report of a run: pictures and a page, made when training ends.

matplotlib is imported when a picture is drawn and not before.
"""

from fgu_jax.report.data import Ranked, ReportData, Retrieval, gather
from fgu_jax.report.write import write

__all__ = ["Ranked", "ReportData", "Retrieval", "gather", "write"]
