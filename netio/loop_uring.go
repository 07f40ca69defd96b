package netio

import "errors"

func uringUsable() error { return errors.New("not built yet") }

func newUringDriver(l *Loop) (driver, error) { return nil, uringUsable() }
