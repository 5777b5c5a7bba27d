"""Pure data: no clock, no file, no socket."""
