//go:build static || !linux || !(amd64 || arm64)

package codec

import "errors"

func load(string, []string) ([]uintptr, error) {
	return nil, errors.New("this build loads no libraries")
}

func (l *library) call(int, *scratch, ...uintptr) uintptr { return 0 }
