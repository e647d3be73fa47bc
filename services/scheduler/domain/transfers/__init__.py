"""Transfers: pure decisions. Knows neither protobuf nor SQL nor a clock."""
