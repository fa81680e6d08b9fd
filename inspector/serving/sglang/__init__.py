"""SGLang: its options, its pool by version, and its caches."""
