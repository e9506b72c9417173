"""Where the time of a model goes: by layer and by stage, with its distance from what this machine can do."""
