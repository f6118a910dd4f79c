//go:build tools

// Package tools keeps what is built from another module, unchanged, in go.mod.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
