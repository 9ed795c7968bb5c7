// Package checks prints one line a check, as every client of this directory does.
package checks

import (
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
)

var failed bool

// Check runs body and prints how it went.
func Check(name string, body func() error) {
	err := func() (err error) {
		defer func() {
			if thrown := recover(); thrown != nil {
				err = fmt.Errorf("panic: %v %s", thrown, debug.Stack())
			}
		}()
		return body()
	}()
	if err == nil {
		fmt.Printf("ok %s\n", name)
		return
	}
	failed = true
	fmt.Printf("not ok %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
}

// Same tells actual and expected apart.
func Same(actual, expected any) error {
	if reflect.DeepEqual(actual, expected) {
		return nil
	}
	return fmt.Errorf("expected %v, got %v", expected, actual)
}

// Finish ends the program.
func Finish(version string) {
	fmt.Printf("# version %s\n", version)
	if failed {
		os.Exit(1)
	}
}
