package call

// Rest refuses new calls with 503, as Drain does, or takes them again; those in
// progress go on.
func (s *Set) Rest(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = yes
}
