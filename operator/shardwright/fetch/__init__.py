"""Facts of a model from where it is stored: a hub or a mirror of it. The only room that speaks to one."""
