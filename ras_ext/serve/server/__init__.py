"""``ras-ext serve``: vLLM's own server with the defence on."""
