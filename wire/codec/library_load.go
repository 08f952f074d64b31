//go:build !static && linux && (amd64 || arm64)

package codec

import (
	"errors"
	"runtime"

	"github.com/ebitengine/purego"
)

func load(file string, names []string) ([]uintptr, error) {
	lib, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, errors.New("it is not installed")
	}
	fn := make([]uintptr, len(names))
	for i, name := range names {
		if fn[i], err = purego.Dlsym(lib, name); err != nil {
			return nil, errors.New("it has no function " + name)
		}
	}
	return fn, nil
}

// call runs function i of the library. Addresses among the arguments must be
// in what s is a part of, or the library's own.
func (l *library) call(i int, s *scratch, args ...uintptr) uintptr {
	n := copy(s[:], args)
	r, _, _ := purego.SyscallN(l.fn[i], s[:n]...)
	runtime.KeepAlive(s)
	return r
}
