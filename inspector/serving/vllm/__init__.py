"""vLLM: its options, its planner's rules by version, and the engine itself where it is installed."""
