// Command argo-events is Argo Events itself (controller, EventSource, Sensor), and one command more: `resolve`
// evaluates a Sensor's filters and parameters with Argo Events' own code, so that a Sensor's manifest can be tested
// against any event without a cluster.
package main

import (
	"os"

	"github.com/argoproj/argo-events/cmd/commands"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "resolve" {
		os.Exit(resolve(os.Stdin, os.Stdout))
	}
	commands.Execute()
}
