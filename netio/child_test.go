package netio

// childMain runs the part of a test that needs a process of its own.
func childMain() (code int, ok bool) { return 0, false }
