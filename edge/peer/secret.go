package peer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tandemgw/tandem/base/obs"
)

// maxSecret bounds the file of a secret; a longer one is not one.
const maxSecret = 4096

// ReadSecret fetches a secret from where a snapshot says that it is:
// "file:<path>", of which the first line counts, or "env:<name>". The error is
// a sentence that tells what to do, and never holds any of the secret.
func ReadSecret(at string) (obs.Secret, error) {
	kind, where, _ := strings.Cut(at, ":")
	switch kind {
	case "file":
		return readSecretFile(where)
	case "env":
		if s := os.Getenv(where); s != "" {
			return obs.Secret(s), nil
		}
		return "", fmt.Errorf("the environment variable %s is not set or empty: set it for the process", where)
	}
	return "", errors.New("the snapshot does not say where the secret is")
}

func readSecretFile(path string) (obs.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file: name the file that holds the secret", path)
	// The group may read: a service account often gets its secrets that way.
	case info.Mode().Perm()&0o037 != 0:
		return "", fmt.Errorf("others may read or change the secret (mode %04o): chmod 600 %s", info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return "", fmt.Errorf("the first line of %s is empty: write the secret there", path)
	case len(line) > maxSecret:
		return "", fmt.Errorf("the first line of %s is longer than %d bytes: that is no secret", path, maxSecret)
	}
	return obs.Secret(line), nil
}
