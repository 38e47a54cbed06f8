// Package fuzz holds the fuzz targets of everything that is read back from
// disk, and of the log and the store as a whole. It has tests only.
//
//	make fuzz TIME=5m                     every target of the repository
//	go test -fuzz '^FuzzStore$' ./fuzz    one of them
//
// Inputs are not files but programs: a byte string says which frames, files or
// operations there are and what becomes of them, and checksums are made right
// where the program asks for it. Bytes by chance never get beyond a checksum.
//
//	FuzzFrames         frames, valid and lying, footers, rubbish: scanner, reader, evidence
//	FuzzSegmentHeader  fields of a segment's header
//	FuzzFooter         fields of a segment's footer
//	FuzzRecords        payloads of intact frames, as a store replays them
//	FuzzImage          an image of the index whose fields lie under good checksums
//	FuzzCurrent        CURRENT, by bytes and by fields
//	FuzzTail           TAIL, by bytes and by fields
//	FuzzLogFiles       a log's directory made of anything
//	FuzzDamage         a store with flips, zeros, cuts, copies, files missing and renamed
//	FuzzVerify         the same, looked at by internal/inspect
//	FuzzLog            operations on a log, with kills and power failures, against a model
//	FuzzStore          the same on a store
//
// What holds of all of them: nothing panics, no file is left open, memory is
// bounded by the size of the input and not by what it claims, an error is one of
// those that are documented. What decodes encodes to the same bytes. And nothing
// wrong is ever served: what is read is what the log or the store held after some
// front of the operations, all of those that were acknowledged as durable among
// them; damage costs an error and never a wrong answer.
//
// Decoders of packages internal/op and index have targets of their own there.
// Seeds are added by code; testdata/fuzz keeps inputs that once failed.
package fuzz
