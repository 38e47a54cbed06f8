package restart

import "strings"

// unknownMemory is assumed where the system does not say how much it has.
const unknownMemory = 2 << 30

// defaultMemoryLimit is half of what the machine, or its control group, has.
func defaultMemoryLimit() int64 {
	total := machineMemory()
	if total <= 0 {
		total = unknownMemory
	}
	return max(total/2, minMemoryLimit)
}

func trimSpaces(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }
