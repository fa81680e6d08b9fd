"""llama.cpp, and ollama which runs it: what it places where, its caches and compute buffers, and the engine itself."""
