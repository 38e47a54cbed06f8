package restart

// LoadWhole returns options whose store is loaded whole, however small its log.
func LoadWhole(o Options) Options {
	o.wholeFrom = 1
	return o
}
