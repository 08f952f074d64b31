package gateway_test

func childURL() string { return "" }
func child(string)     {}
