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

// call runs function i of the library. Arguments that are addresses must be of
// memory that keep holds on to, or of the library's own.
func (l *library) call(i int, keep any, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(l.fn[i], args...)
	runtime.KeepAlive(keep)
	return r
}
