"""The training-cluster API: `wire` its types, `translate` pure conversion, `routes` HTTP."""
