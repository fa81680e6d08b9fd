"""Inspector's questions as tools of the Model Context Protocol, for assistants that speak it: the extra ``mcp``."""
