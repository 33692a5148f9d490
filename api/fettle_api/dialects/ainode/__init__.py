"""AINode's training API: `wire` its types, `translate` pure conversion, `routes` HTTP."""
