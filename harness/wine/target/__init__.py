"""Programs that the Windows Python runs in the target, by their files; they import nothing of ours."""
