"""What the server decides, writes down and counts: its policy, its access log, its metrics."""
