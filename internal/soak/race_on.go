//go:build race

package main

// shadow is by how much the race detector multiplies memory.
const shadow = 6
