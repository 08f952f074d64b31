package onboard

// Steps are those of both tracks.
func Steps() []Step { return nil }

// Facts are those that the steps ask for.
func Facts() []Fact { return nil }
