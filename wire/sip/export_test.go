package sip

// Merges is how many requests are remembered for RFC 3261 section 8.2.2.2.
func (s *Stack) Merges() int {
	s.servers.mu.Lock()
	defer s.servers.mu.Unlock()
	return len(s.servers.merges)
}

// Held is how many bytes of responses are kept for the peer.
func (r *Remote) Held() int64 { return r.held.Load() }
