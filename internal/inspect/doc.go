// Package inspect looks at a log, and at the images of its index, without
// changing them: what files it consists of, what its records say, and whether every byte is what was written. It is
// what cmd/frsinspect prints, as data.
//
// A [Log] can be looked at even where the log itself refuses to open because of
// damage: then every segment file is read by itself, and the refusal is part
// of what is reported. So [Log.Verify] lists all damage there is and not only the
// first, and [Log.Frames] goes on behind it.
//
// With [OpenStore] the images of the store's index are looked at as well: which
// a restart can use, and whether what they say of the log is so. They are made
// from the log: damage of an image costs time and no data.
//
// No file is created, cut, renamed or removed. Nothing may write to the log
// meanwhile: a store's lock is held by the caller, that of a log alone by the
// Log.
package inspect
