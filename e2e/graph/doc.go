// Package graph lets Microsoft's own library of Graph meet the directory:
// unmodified, over HTTPS, with tokens of our own sign-in that azidentity
// fetches. It is a module of its own, so that the product does not depend on
// what it is tested with, and a slow one to build: its types of all of Graph
// take a minute.
package graph
