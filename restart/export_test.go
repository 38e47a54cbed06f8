package restart

// LoadWhole returns options whose store is loaded whole, however small its log and
// whatever part of it is garbage.
func LoadWhole(o Options) Options {
	o.whole = true
	return o
}
