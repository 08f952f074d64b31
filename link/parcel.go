package link

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tandemgw/tandem/link/snapshot"
)

// order is the message that assigns a snapshot to a node, or takes it away.
type order struct {
	Gateway  string `json:"gateway,omitempty"`
	Revision uint64 `json:"revision"`
	Digest   string `json:"digest,omitempty"` // SHA-256 of the packed snapshot; empty: there is none
	Size     int    `json:"size,omitempty"`   // of it
	Pieces   int    `json:"pieces,omitempty"`
}

const (
	// pieceSize leaves half of a message's size to spare.
	pieceSize = maxPayload / 2
	// maxPacked and maxUnpacked bound what a damaged order makes an edge
	// fetch and unfold: ten million scattered numbers are 240 MB, 70 MB packed.
	maxPacked   = 1 << 30
	maxUnpacked = 4 << 30
)

// pack makes the form in which a snapshot travels and lies on disks: JSON,
// gzipped.
func pack(s *snapshot.Snapshot) (order, []byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return order{}, nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return order{}, nil, fmt.Errorf("encode snapshot: %w", err)
	}
	if _, err := z.Write(text); err != nil {
		return order{}, nil, err
	}
	if err := z.Close(); err != nil {
		return order{}, nil, err
	}
	if b.Len() > maxPacked {
		return order{}, nil, fmt.Errorf("the snapshot is %d bytes packed: %d are the most", b.Len(), maxPacked)
	}
	return order{
		Gateway: s.Gateway, Revision: s.Revision, Digest: digest(b.Bytes()),
		Size: b.Len(), Pieces: (b.Len() + pieceSize - 1) / pieceSize,
	}, b.Bytes(), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// piece is one message's worth of a packed snapshot.
func piece(packed []byte, i int) []byte {
	return packed[i*pieceSize : min((i+1)*pieceSize, len(packed))]
}

var (
	errDamaged = errors.New("is damaged: its digest is wrong")
	errForeign = errors.New("is not what it is said to be: gateway or revision differ")
)

// sound tells whether an order could be carried out at all.
func (o order) sound() error {
	switch {
	case o.Digest == "" && o.Size == 0 && o.Pieces == 0:
		return nil
	case o.Size < 1 || o.Size > maxPacked || o.Pieces != (o.Size+pieceSize-1)/pieceSize:
		return fmt.Errorf("cannot have %d bytes in %d pieces", o.Size, o.Pieces)
	}
	return nil
}

// unpack reads a packed snapshot and sees that it is what was ordered.
func (o order) unpack(packed []byte) (*snapshot.Snapshot, error) {
	if len(packed) != o.Size || digest(packed) != o.Digest {
		return nil, errDamaged
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	s, text := new(snapshot.Snapshot), &io.LimitedReader{R: z, N: maxUnpacked}
	if err := json.NewDecoder(bufio.NewReaderSize(text, 1<<20)).Decode(s); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if s.Revision != o.Revision || s.Gateway != o.Gateway {
		return nil, errForeign
	}
	return s, nil
}
