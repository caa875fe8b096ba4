"""Batch scoring: tables of any size read, scored and written part by part."""
