"""
room under construction
"""
from pgultra.features.soft_delete import filter as _filter, flush as _flush  # the listeners
from pgultra.features.soft_delete.model import Rules, SoftDelete, SoftDeleteOptions
from pgultra.features.soft_delete.indexes import index_live, unique_live
from pgultra.features.soft_delete.queries import alive, on_conflict_live, only_deleted, with_deleted
