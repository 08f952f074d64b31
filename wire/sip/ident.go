package sip

// NewTag makes a From or To tag (RFC 3261 19.3).
func NewTag() string { panic("todo") }

// NewBranch makes a Via branch with the magic cookie of RFC 3261 8.1.1.7.
func NewBranch() string { panic("todo") }

// NewCallID makes a Call-ID; it names no host, so that nothing of us leaks.
func NewCallID() string { panic("todo") }
