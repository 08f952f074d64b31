package app

import "github.com/tandemgw/tandem/front/ops"

// operations answer the control socket.
func (n *Node) operations() (ops.Operations, error) {
	p := n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	return p.operations, nil
}
