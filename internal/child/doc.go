// Package child has a program run a copy of itself that may be killed at any
// moment, and that tells line by line what it does, so that its parent knows
// what must be left of that.
//
// The child lives as long as one function does:
//
//	if plan, ok := child.Plan(os.Args[1:]); ok {
//		err := child.Live(plan, func(p plan, said child.Voice, commands io.Reader) error { … })
//	}
//
// It says on its standard output, besides what only its parent understands:
//
//	start          it begins
//	ready          it can begin its work, and waits for "go"
//	closed         it is at its end, as it was told to be
//	error <text>   it has failed; the text is quoted
//
// The parent says "go", and "close" when the work shall end:
//
//	l := child.NewListener(hear)              // hear gets each line
//	p, err := child.Start(plan, l)            // any that JSON can encode
//	err = p.Await(ctx, l.Started, "started")  // an error if it ends, fails or hangs instead
//	err = p.Await(ctx, l.Ready, "ready")
//	err = p.Tell(child.Go)
//	err = p.Pass(ctx, time.Second, nil)
//	err = p.Kill()                            // however it ended
//
// A line that the end of a child cut short was not said. On Linux a child is
// killed when its parent dies; elsewhere it notices when it next says something
// or waits for a command.
package child
