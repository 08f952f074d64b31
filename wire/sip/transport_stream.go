package sip

type stream struct{}
