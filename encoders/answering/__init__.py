"""The whole model: its language model too, what it answers, and the sites along which its answer comes about."""
