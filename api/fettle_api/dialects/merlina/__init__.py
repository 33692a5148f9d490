"""Merlina's training API: `wire` its types, `translate` pure conversion, `checks` its validation, `routes` HTTP."""
