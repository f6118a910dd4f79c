package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/sensors/dependencies"
	"github.com/argoproj/argo-events/pkg/sensors/triggers"
)

// question is one line of input: a Sensor's dependencies and a trigger's parameters in the manifest's own words, and
// the data of the events that have arrived, by the name of the dependency.
type question struct {
	Dependencies []v1alpha1.EventDependency  `json:"dependencies"`
	Parameters   []v1alpha1.TriggerParameter `json:"parameters"`
	Events       map[string]json.RawMessage  `json:"events"`
	Resource     json.RawMessage             `json:"resource"`
}

// answer is one line of output. Values has one entry a parameter, null where the event does not arrive; Passed says
// which dependency's filters let its event through; Resource is the given resource with the parameters applied.
type answer struct {
	Passed   map[string]bool `json:"passed"`
	Values   []*string       `json:"values"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// resolve answers every line of JSON with one line of JSON, and returns the exit code.
func resolve(input io.Reader, output *os.File) int {
	// Argo Events prints its warnings to the standard output, where they would mix with the answers.
	os.Stdout = os.Stderr
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	for {
		var asked question
		if err := decoder.Decode(&asked); errors.Is(err, io.EOF) {
			return 0
		} else if err != nil {
			fmt.Fprintf(os.Stderr, "resolve: the input is not a question in JSON: %s\n", err)
			return 2
		}
		if err := encoder.Encode(evaluate(asked)); err != nil {
			fmt.Fprintf(os.Stderr, "resolve: %s\n", err)
			return 1
		}
	}
}

func evaluate(asked question) answer {
	result := answer{Passed: map[string]bool{}, Values: []*string{}}
	events := map[string]*v1alpha1.Event{}
	for name, data := range asked.Events {
		context := v1alpha1.EventContext{DataContentType: v1alpha1.MediaTypeJSON, SpecVersion: "1.0"}
		events[name] = &v1alpha1.Event{Context: &context, Data: data}
	}
	for _, dependency := range asked.Dependencies {
		event, arrived := events[dependency.Name]
		if !arrived {
			continue
		}
		passed, err := dependencies.Filter(event, dependency.Filters, dependency.FiltersLogicalOperator)
		if err != nil {
			result.Error = err.Error()
		}
		result.Passed[dependency.Name] = passed
	}
	for _, parameter := range asked.Parameters {
		value, _, err := triggers.ResolveParamValue(parameter.Src, events)
		if err != nil {
			result.Error = err.Error()
			return result
		}
		result.Values = append(result.Values, value)
	}
	if len(asked.Resource) > 0 {
		resource, err := triggers.ApplyParams(asked.Resource, asked.Parameters, events)
		if err != nil {
			result.Error = err.Error()
			return result
		}
		result.Resource = resource
	}
	return result
}
